/**
 * A cache: objects of one size, for all threads at once. (Bonwick, "The slab allocator", USENIX 1994; Bonwick and Adams, "Magazines and
 * vmem", USENIX 2001. Here a CPU has one magazine, of which half is exchanged with the slabs at a time, and there is no depot of
 * full magazines.)
 *
 *     CacheWords │ CPU 0: count │ object │ object … │ CPU 1: count │ …      a magazine a CPU, on lines of its own
 *
 *     allocate ──▶ magazine ──half──▶ slabs ──▶ pages
 *
 * Usually an object is taken from the magazine, or put into it: plain stores of one CPU, no lock, nobody else's line. What is in
 * a magazine is free, whatever its tag says:
 *
 *     take   the tag names this CPU, then the count goes down         killed between: the object is still in the magazine
 *     free   entry, then the count goes up, then the tag says free    killed between: the object is in the magazine already
 *
 * so after a death the reaper clears the tags of what is in the magazine, and nothing is lost or there twice. Refilling and
 * spilling change the count in the same section as the slabs.
 *
 * After a death: no object is lost, none is in two places; what was in flight is free (ownership.ts). The magazine's objects go back to
 * the slabs; if the cache's lock is another CPU's at that moment, they wait for the next thread of that CPU number.
 * Misuse is found by the tag and the page's descriptor. Two threads that free the same object at the very same time may not be:
 * nothing orders their two looks at its tag.
 *
 * Cost: allocate and free together some 10 ns; see "alloc" in docs/benchmarks.md.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { OutOfMemoryError } from '../machine/errors.js'
import type { Undoable } from '../sync/level.js'
import { PAGE_BYTES, PAGE_REF_SHIFT } from './address.js'
import type { Agent } from './agent.js'
import type { Debug } from './debug.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import type { Geometry } from './geometry.js'
import { CacheWords, MagazineWords } from './layouts.js'
import { isAllocated, isKept, KEPT } from './ownership.js'
import { addressOf, CACHE_SHIFT, KIND, next, ORDER_SHIFT, SLAB, state, TAIL } from './page-map.js'
import type { PageAllocator } from './pages.js'
import { Slabs, TAGS } from './slabs.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export interface ObjectRequest {
  /** True: all bytes are zero. Default: whatever is there. */
  readonly zero?: boolean
  /** True: kept at once; a thread killed before it links the object loses it. Default: in flight, see {@link Cache.keep}. */
  readonly keep?: boolean
  /** In debug mode: what the object is for, in reports; at most 44 bytes of UTF-8. */
  readonly label?: string
}

export class Cache {
  readonly name: string
  /** Bytes of an object, and their alignment. */
  readonly size: number
  readonly align: number
  /** @internal */
  readonly geometry: Geometry
  /** @internal Its number. */
  readonly index: number
  /** @internal */
  readonly slabs: Slabs
  /** @internal Word index of the CacheWords. */
  readonly word: number
  readonly #agent: Agent
  readonly #pages: PageAllocator
  readonly #debug: Debug | undefined
  readonly #memory: Memory
  readonly #token: number
  /** Word index of the magazine's count, which the entries follow. */
  readonly #count: number
  readonly #capacity: number
  /** What the state of each page of a slab has, but for its order and whether it is the first. */
  readonly #state: number
  readonly #pageMap: number
  readonly #pageEnd: number
  /** In references: what a slab's address has, where the first object begins, bytes of an object, and one over that. */
  readonly #slabMask: number
  readonly #first: number
  readonly #stride: number
  readonly #inverse: number

  /** @internal Made by cache-table.ts. `at`: word index of the CacheWords; `index`: its number. */
  constructor(parts: CacheParts) {
    const { agent, pages, debug, at, index, geometry } = parts
    this.name = parts.name
    this.size = geometry.size
    this.align = geometry.align
    this.geometry = geometry
    this.slabs = new Slabs(agent.memory, at, geometry.objects, debug === undefined ? 1 : 2)
    this.#agent = agent
    this.#pages = pages
    this.#debug = debug
    this.#memory = agent.memory
    this.#token = agent.token
    this.word = at
    this.index = index
    this.#count = magazineOf(at, agent.cpu, geometry.capacity)
    this.#capacity = geometry.capacity
    this.#state = SLAB | (index << CACHE_SHIFT)
    this.#pageMap = agent.map.pageMap
    this.#pageEnd = agent.map.pages
    this.#slabMask = ~((1 << (PAGE_REF_SHIFT + geometry.order)) - 1)
    this.#first = geometry.first / 8
    this.#stride = geometry.stride / 8
    // A little more than one over the stride, so that multiples of it do not come out a little too small.
    this.#inverse = (1 + 2 ** -40) / this.#stride
  }

  /**
   * Takes an object. It is in flight: freed should this thread die, until it is kept or freed.
   *
   * @returns its byte address; 0 means nothing in shared words, and is never one.
   * @throws OutOfMemoryError; in debug mode HeapCorruptionError; LockTimeoutError as for pages.
   */
  allocate(request?: ObjectRequest): number {
    if (request !== undefined || this.#debug !== undefined)
      return this.allocateBytes(this.size, request ?? {})
    const { i32 } = this.#memory
    const at = this.#count
    let count = load32(i32, at)
    if (count === 0) count = this.#refill()
    const reference = load32(i32, at + count)
    // The tag before the count. Mutant: alloc/object-count-first.
    store32(i32, this.#tagOf(reference), this.#token)
    store32(i32, at, count - 1)
    return reference * 8
  }

  /**
   * Gives an object of this cache back; any CPU may. The caller sees to it that nobody still reads it.
   *
   * @throws DoubleFreeError, ForeignAddressError; in debug mode HeapCorruptionError; LockTimeoutError. Nothing is changed then.
   */
  free(address: number): void {
    const tag = this.tagAt(address)
    const { i32 } = this.#memory
    if (load32(i32, tag) <= 0) throw this.#doubleFree(address)
    if (this.#debug !== undefined) this.#debug.freed(this, address, tag)
    const at = this.#count
    let count = load32(i32, at)
    if (count >= this.#capacity) count = this.#spill(this.#capacity >>> 1)
    store32(i32, at + 1 + count, address / 8)
    // The count before the tag. Mutant: alloc/object-tag-first.
    store32(i32, at, count + 1)
    store32(i32, tag, 0)
  }

  /**
   * From now on the object outlives the thread that took it. Through a `section`, when that is committed: keep it in the section
   * that links it, and it is linked and kept, or neither, whenever the thread is killed. Without, keep it before others can find it.
   *
   * @throws ForeignAddressError unless it is this CPU's in flight, or kept already.
   */
  keep(address: number, section?: Undoable): void {
    this.#setTag(address, this.#token | KEPT, section)
  }

  /** The opposite: the object is this CPU's in flight again, to be freed. Through a `section`, the one that unlinks it. */
  disown(address: number, section?: Undoable): void {
    this.#setTag(address, this.#token, section)
  }

  /** Gives this CPU's magazine back to the slabs, and the pages of slabs without objects back. */
  shrink(): void {
    this.drain()
    if (!this.#lock()) return
    try {
      for (const page of this.slabs.pages()) if (this.slabs.isEmpty(page)) this.#release(page)
    } finally {
      this.#agent.objectLevel.unlock()
    }
  }

  /** @internal Gives the magazine back to the slabs; a reaper does it if the lock is free. */
  drain(): void {
    if (this.magazineCount > 0) this.#spill(this.magazineCount)
  }

  /** @internal Objects in this CPU's magazine. */
  get magazineCount(): number {
    return load32(this.#memory.i32, this.#count)
  }

  /** @internal For the reaper: what is in the magazine is free. */
  fix(): void {
    const { i32 } = this.#memory
    for (let i = this.magazineCount; i > 0; i--) {
      const tag = this.#tagOf(load32(i32, this.#count + i))
      this.#debug?.forget(this, tag)
      store32(i32, tag, 0)
    }
  }

  /** @internal For the reaper: frees what the dead had in flight, if the lock is free. */
  sweep(): void {
    const { objectLevel } = this.#agent
    if (!this.#lock()) return
    try {
      this.#sweepSlabs()
    } finally {
      objectLevel.unlock()
    }
  }

  /** @internal Word index of the tag of the object at `address`. @throws ForeignAddressError if there is none. */
  tagAt(address: number): number {
    const reference = address / 8
    const page = reference >> PAGE_REF_SHIFT
    if ((reference | 0) !== reference || page < 0 || page >= this.#pageEnd) throw this.#foreign(address)
    const { i32 } = this.#memory
    const descriptor = this.#pageMap + page * 4
    const mask = -1 << CACHE_SHIFT
    if ((load32(i32, descriptor + state) & (mask | KIND)) !== this.#state) throw this.#foreign(address)
    const slab = reference & this.#slabMask
    const offset = reference - slab - this.#first - load32(i32, descriptor + next)
    const index = (offset * this.#inverse) | 0
    if (index * this.#stride !== offset || offset < 0 || index >= this.geometry.objects)
      throw this.#foreign(address)
    return slab * 2 + TAGS + index
  }

  /** @internal The address of an object, by its slab's first page and its index there. */
  addressIn(page: number, index: number): number {
    const colour = load32(this.#memory.i32, this.#agent.map.descriptor(page) + next)
    return page * PAGE_BYTES + this.geometry.first + colour * 8 + index * this.geometry.stride
  }

  /** Word index of the tag of an object that is one. Its slab's colour does not matter. */
  #tagOf(reference: number): number {
    const slab = reference & this.#slabMask
    return slab * 2 + TAGS + (((reference - slab - this.#first) * this.#inverse) | 0)
  }

  /** @internal An object of which only so many bytes are wanted. */
  allocateBytes(bytes: number, { zero = false, keep = false, label }: ObjectRequest): number {
    const { i32 } = this.#memory
    let count = load32(i32, this.#count)
    if (count === 0) count = this.#refill()
    const reference = load32(i32, this.#count + count)
    const tag = this.#tagOf(reference)
    if (this.#debug !== undefined) this.#debug.allocated(this, reference * 8, tag, label, bytes)
    if (zero) mem.fillBytes(this.#memory, reference * 8, bytes, 0)
    store32(i32, tag, keep ? this.#token | KEPT : this.#token)
    store32(i32, this.#count, count - 1)
    return reference * 8
  }

  #setTag(address: number, value: number, section: Undoable | undefined): void {
    const word = this.tagAt(address)
    const found = load32(this.#memory.i32, word)
    if (found !== this.#token && !isKept(found)) {
      throw isAllocated(found)
        ? new ForeignAddressError(`the object at ${address} is in flight with CPU ${found & 0xff}`, {
            address,
          })
        : this.#doubleFree(address)
    }
    if (section) section.write32(word, value)
    else store32(this.#memory.i32, word, value)
  }

  /** Half a magazine from the slabs; returns its new count. */
  #refill(): number {
    const { objectLevel } = this.#agent
    this.#lock()
    try {
      let wanted = this.#capacity >>> 1
      while (wanted > 0) {
        const page = this.slabs.firstPartial || this.#grow()
        if (page === 0) break
        wanted -= objectLevel.section((section) => this.#takeFrom(section, page, wanted))
      }
    } finally {
      objectLevel.unlock()
    }
    const count = this.magazineCount
    if (count > 0) return count
    throw new OutOfMemoryError(
      `no room for another object of ${this.size} bytes (${this.name}): boot with more \`memory\``,
      { cache: this.name, size: this.size },
    )
  }

  #takeFrom(section: Undoable, page: number, wanted: number): number {
    const { i32 } = this.#memory
    const count = load32(i32, this.#count)
    // So that the first one is taken first.
    let place = this.#count + count + Math.min(wanted, this.slabs.freeIn(page))
    const taken = this.slabs.take(section, page, wanted, (index) => {
      store32(i32, place--, this.addressIn(page, index) / 8)
    })
    section.write32(this.#count, count + taken)
    return taken
  }

  /** Gives so many objects of the magazine back to their slabs; returns its new count. */
  #spill(objects: number): number {
    const { objectLevel } = this.#agent
    const { i32 } = this.#memory
    if (!this.#lock()) return this.magazineCount
    try {
      for (; objects > 0; objects--) {
        const count = load32(i32, this.#count)
        const reference = load32(i32, this.#count + count)
        const index = this.#tagOf(reference) - (reference & this.#slabMask) * 2 - TAGS
        const page = (reference & this.#slabMask) >> PAGE_REF_SHIFT
        const isEmpty = objectLevel.section((section) => {
          section.write32(this.#count, count - 1)
          return this.slabs.give(section, page, index)
        })
        if (isEmpty && this.slabs.emptyCount > 1) this.#release(page)
      }
    } finally {
      objectLevel.unlock()
    }
    return this.magazineCount
  }

  /** A new slab, in the list; 0 if there are no pages. The lock is held. */
  #grow(): number {
    const { memory, map, objectLevel } = this.#agent
    const { order, colours, colourStep } = this.geometry
    const address = this.#pages.allocate(order)
    if (address === undefined) return 0
    const page = address / PAGE_BYTES
    const colour = this.slabs.colour
    this.slabs.initialise(page)
    // The first page before the others: it says that they may be like it. Mutant: alloc/slab-tail-first.
    for (let i = 0; i < 1 << order; i++) {
      const descriptor = map.descriptor(page + i)
      store32(memory.i32, descriptor + next, (colour * colourStep) / 8)
      store32(memory.i32, descriptor + state, this.#state | (order << ORDER_SHIFT) | (i === 0 ? 0 : TAIL))
    }
    objectLevel.section((section) => {
      this.#pages.keep(address, section)
      this.slabs.add(section, page, (colour + 1) % colours)
    })
    return page
  }

  /** Gives the pages of a slab without objects back. The lock is held. */
  #release(page: number): void {
    const address = addressOf(page)
    this.#agent.objectLevel.section((section) => {
      this.#pages.disown(address, section)
      this.slabs.remove(section, page)
    })
    this.#pages.freeSlab(page)
  }

  /** Takes the cache's lock; what the dead had in flight here is free afterwards. False: only for reapers. */
  #lock(): boolean {
    const { objectLevel } = this.#agent
    if (!this.#agent.lock(objectLevel, this.word + CacheWords.words.lock)) return false
    // A reaper looks for them once, when it has nothing in flight itself.
    if (this.#agent.isReaper) return true
    try {
      const swept = load32(this.#memory.i32, this.word + CacheWords.words.swept)
      if (swept !== this.#agent.deaths) this.#sweepSlabs()
    } catch (error) {
      objectLevel.unlock()
      throw error
    }
    return true
  }

  #sweepSlabs(): void {
    const { objectLevel, deaths } = this.#agent
    const { i32 } = this.#memory
    const isLost = this.#agent.lost()
    for (const page of this.slabs.pages()) {
      const tags = page * (PAGE_BYTES / 4) + TAGS
      for (let i = this.slabs.freshOf(page) - 1; i >= 0; i--) {
        if (!isLost(load32(i32, tags + i))) continue
        this.#debug?.forget(this, tags + i)
        objectLevel.section((section) => this.slabs.give(section, page, i))
      }
      if (this.slabs.isEmpty(page) && this.slabs.emptyCount > 1) this.#release(page)
    }
    // After the last of them: a walk that is interrupted is begun again.
    store32(i32, this.word + CacheWords.words.swept, deaths)
  }

  #doubleFree(address: number): DoubleFreeError {
    return new DoubleFreeError(`the object of ${this.name} at ${address} is free already`, { address })
  }
  #foreign(address: number): ForeignAddressError {
    return new ForeignAddressError(`no object of ${this.name} starts at ${address}`, {
      address,
      cache: this.name,
    })
  }
}

export interface CacheParts {
  readonly agent: Agent
  readonly pages: PageAllocator
  readonly debug: Debug | undefined
  readonly at: number
  readonly index: number
  readonly name: string
  readonly geometry: Geometry
}

/** Word index of a CPU's magazine. */
export function magazineOf(at: number, cpu: number, capacity: number): number {
  return at + (CacheWords.stride + cpu * magazineStride(capacity)) / 4
}
/** Bytes of a magazine: its count, and its entries. */
export function magazineStride(capacity: number): number {
  return Math.ceil((MagazineWords.size + capacity * 4) / 64) * 64
}
