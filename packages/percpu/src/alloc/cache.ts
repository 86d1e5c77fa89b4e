/**
 * A cache: objects of one size, for all threads at once. (Bonwick, "The slab allocator: an object-caching kernel memory allocator",
 * USENIX 1994; Bonwick and Adams, "Magazines and vmem", USENIX 2001.)
 *
 *     CacheLayout │ CPU 0's magazine │ CPU 1's magazine │ …      on lines of their own
 *
 *     allocate ──▶ magazine ──half──▶ slabs ──▶ pages
 *
 * Usually an object is taken from the magazine, or put into it (magazine.ts). Refilling and spilling change its count in the same section
 * as the slabs, under the cache's lock.
 *
 * After a death: no object is lost, none is in two places; what was in flight is free (tag.ts). The magazine's objects go back to
 * the slabs; if the cache's lock is another CPU's at that moment, they wait for the next thread of that CPU number.
 * Misuse is found by the tag and the page's descriptor. Two threads that free the same object at the very same time may not be:
 * nothing orders their two looks at its tag.
 *
 * Cost: allocate and free together about 10 ns; a refill some microseconds, every half magazine. See "alloc" in docs/benchmarks.md.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { cpuOf } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { PAGE_REF_SHIFT } from './address.js'
import type { Owner } from './owner.js'
import type { Debug } from './debug.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import type { Geometry } from './geometry.js'
import { CacheLayout } from './layouts.js'
import { give, openMagazine, take, type Magazine } from './magazine.js'
import { isAllocated, isPersistent, PERSISTENT } from './tag.js'
import {
  COLOUR_SHIFT,
  descriptorWords,
  OF_CACHE,
  ORDER_SHIFT,
  state,
  tag as pageTag,
  TAIL,
} from './page-map.js'
import type { PageAllocator } from './pages.js'
import { checkRequest, objectNames, type ObjectRequest } from './request.js'
import { Slabs, TAGS } from './slabs.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const pageRefShift = PAGE_REF_SHIFT
const descriptorShift = Math.log2(descriptorWords)

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
  /** @internal Word index of the CacheLayout. */
  readonly word: number
  /** @internal This CPU's. */
  readonly magazine: Magazine
  readonly #owner: Owner
  readonly #pages: PageAllocator
  readonly #debug: Debug | undefined
  readonly #memory: Memory
  readonly #token: number

  /** @internal Made by cache-table.ts. `at`: word index of the CacheLayout; `index`: its number. */
  constructor(parts: CacheParts) {
    const { owner, pages, debug, at, index, geometry } = parts
    this.name = parts.name
    this.size = geometry.size
    this.align = geometry.align
    this.geometry = geometry
    this.slabs = new Slabs(owner.memory, at, geometry.objects, debug === undefined ? 1 : 2)
    this.#owner = owner
    this.#pages = pages
    this.#debug = debug
    this.#memory = owner.memory
    this.#token = owner.token
    this.word = at
    this.index = index
    this.magazine = openMagazine(owner, at, index, geometry)
  }

  /**
   * Takes an object. It is in flight: freed should this thread die, until it is persistent or freed.
   *
   * @returns its byte address; 0 means nothing in shared words, and is never one.
   * @throws OutOfMemoryError; ArgumentError; in debug mode HeapCorruptionError; LockTimeoutError as for pages.
   */
  alloc(request?: ObjectRequest): number {
    if (request === undefined && this.#debug === undefined) {
      const address = take(this.magazine)
      if (address !== 0) return address
    }
    if (request !== undefined) checkRequest('cache.alloc', request, objectNames)
    return this.allocateBytes(this.size, request)
  }

  /**
   * Gives an object of this cache back; any CPU may if it is persistent. The caller sees to it that nobody still reads it.
   *
   * @throws DoubleFreeError, ForeignAddressError; in debug mode HeapCorruptionError; LockTimeoutError. Nothing is changed then.
   */
  free(address: number): void {
    const { magazine } = this
    const reference = address / 8
    const page = reference >> pageRefShift
    if ((reference | 0) !== reference || page < 0 || page >= magazine.pages) throw this.#foreign(address)
    const found = load32(magazine.memory.i32, magazine.pageMap + (page << descriptorShift))
    if (this.#debug !== undefined || !give(magazine, reference, found)) this.#freeSpecial(address)
  }

  /**
   * From now on the object outlives the thread that took it. Through a `section`, when that is committed: keep it in the section
   * that links it, and it is linked and persistent, or neither, whenever the thread is killed. Without, keep it before others can find it.
   *
   * @throws ForeignAddressError unless it is this CPU's in flight, or persistent already.
   */
  persist(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#token | PERSISTENT, section)
  }

  /** The opposite: the object is this CPU's in flight again, to be freed. Through a `section`, the one that unlinks it. */
  adopt(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#token, section)
  }

  /** Gives this CPU's magazine back to the slabs, and the pages of slabs without objects back. */
  trim(): void {
    this.emptyMagazine()
    if (!this.#lock()) return
    try {
      for (const page of this.slabs.pages()) if (this.slabs.isEmpty(page)) this.#release(page)
    } finally {
      this.#owner.objectLock.unlock()
    }
  }

  /** @internal Gives the magazine back to the slabs; a reaper does it if the lock is free. */
  emptyMagazine(): void {
    if (this.magazineCount > 0) this.#spill(this.magazineCount)
  }

  /** @internal Objects in this CPU's magazine. */
  get magazineCount(): number {
    return load32(this.#memory.i32, this.magazine.count)
  }

  /** @internal For the reaper: what is in the magazine is free. */
  fix(): void {
    const { i32 } = this.#memory
    for (let i = this.magazineCount; i > 0; i--) {
      const tag = this.#tagOf(load32(i32, this.magazine.count + i))
      this.#debug?.forget(this, tag)
      store32(i32, tag, 0)
    }
  }

  /** @internal For the reaper: frees what the dead had in flight, if the lock is free. */
  sweep(): void {
    const { objectLock } = this.#owner
    if (!this.#lock()) return
    try {
      this.#sweepSlabs()
    } finally {
      objectLock.unlock()
    }
  }

  /** @internal The address of an object, by its slab's first page and its index there. */
  addressIn(page: number, index: number): number {
    const found = load32(this.#memory.i32, this.#owner.map.descriptor(page) + state)
    const colour = (found >>> COLOUR_SHIFT) * this.geometry.colourStep
    return page * PAGE_BYTES + this.geometry.first + colour + index * this.geometry.stride
  }

  /** Word index of the tag of the object at an address. @throws ForeignAddressError if there is none. */
  #tagAt(address: number): number {
    const { mask, first, stride, pageMap, pages, objects } = this.magazine
    const reference = address / 8
    const page = reference >> PAGE_REF_SHIFT
    if ((reference | 0) !== reference || page < 0 || page >= pages) throw this.#foreign(address)
    const found = load32(this.#memory.i32, pageMap + (page << descriptorShift))
    const slab = reference & mask
    const offset = reference - slab - first - (found >>> COLOUR_SHIFT) * this.magazine.colourStep
    const index = offset / stride
    if (
      (found & OF_CACHE) !== this.magazine.state ||
      !Number.isInteger(index) ||
      index < 0 ||
      index >= objects
    )
      throw this.#foreign(address)
    return slab * 2 + TAGS + index
  }

  /** Word index of the tag of an object that is one. Its slab's colour does not matter. */
  #tagOf(reference: number): number {
    const { mask, first, stride } = this.magazine
    const slab = reference & mask
    return slab * 2 + TAGS + Math.floor((reference - slab - first) / stride)
  }

  /** @internal An object of which only so many bytes are wanted. */
  allocateBytes(bytes: number, { zero = false, persist = false, label }: ObjectRequest = {}): number {
    const { i32 } = this.#memory
    const { count: at } = this.magazine
    let count = load32(i32, at)
    if (count === 0) count = this.#refill()
    const reference = load32(i32, at + count)
    const tag = this.#tagOf(reference)
    if (this.#debug !== undefined) this.#debug.allocated(this, reference * 8, tag, label, bytes)
    if (zero) mem.fillBytes(this.#memory, reference * 8, bytes, 0)
    // As in `take`.
    store32(i32, tag, persist ? this.#token | PERSISTENT : this.#token)
    store32(i32, at, count - 1)
    return reference * 8
  }

  /** A magazine that is full, an address that is wrong, or debug mode. */
  #freeSpecial(address: number): void {
    const { i32 } = this.#memory
    const { count: at } = this.magazine
    const tag = this.#tagAt(address)
    if (!isAllocated(load32(i32, tag))) throw this.#doubleFree(address)
    let count = load32(i32, at)
    if (count >= this.geometry.capacity) count = this.#spill(this.geometry.capacity >>> 1)
    const poison = this.#debug?.freed(this, address, tag)
    // As in `give`.
    store32(i32, at + 1 + count, address / 8)
    store32(i32, at, count + 1)
    store32(i32, tag, 0)
    if (poison !== undefined) this.#debug?.poisoned(this, tag, poison)
  }

  #setTag(address: number, value: number, section: SectionWriter | undefined): void {
    const word = this.#tagAt(address)
    const found = load32(this.#memory.i32, word)
    if (found !== this.#token && !isPersistent(found)) {
      throw isAllocated(found)
        ? new ForeignAddressError(`the object at ${address} is in flight with CPU ${cpuOf(found)}`, {
            address,
          })
        : this.#doubleFree(address)
    }
    if (section) section.write32(word, value)
    else store32(this.#memory.i32, word, value)
  }

  /** Half a magazine from the slabs; returns its new count. */
  #refill(): number {
    const { objectLock } = this.#owner
    this.#lock()
    try {
      let wanted = this.geometry.capacity >>> 1
      while (wanted > 0) {
        const page = this.slabs.firstPartial || this.#grow()
        if (page === 0) break
        wanted -= objectLock.section((section) => this.#takeFrom(section, page, wanted))
      }
    } finally {
      objectLock.unlock()
    }
    const count = this.magazineCount
    if (count > 0) return count
    throw new OutOfMemoryError(
      `no room for another object of ${this.size} bytes (${this.name}): boot with more \`memory\``,
      { cache: this.name, size: this.size },
    )
  }

  #takeFrom(section: SectionWriter, page: number, wanted: number): number {
    const { i32 } = this.#memory
    const count = load32(i32, this.magazine.count)
    // So that the first one is taken first.
    let place = this.magazine.count + count + Math.min(wanted, this.slabs.freeIn(page))
    const taken = this.slabs.take(section, page, wanted, (index) => {
      store32(i32, place--, this.addressIn(page, index) / 8)
    })
    section.write32(this.magazine.count, count + taken)
    return taken
  }

  /** Gives so many objects of the magazine back to their slabs; returns its new count. */
  #spill(objects: number): number {
    const { objectLock } = this.#owner
    const { i32 } = this.#memory
    if (!this.#lock()) return this.magazineCount
    try {
      for (; objects > 0; objects--) {
        const count = load32(i32, this.magazine.count)
        const reference = load32(i32, this.magazine.count + count)
        const index = this.#tagOf(reference) - (reference & this.magazine.mask) * 2 - TAGS
        const page = (reference & this.magazine.mask) >> PAGE_REF_SHIFT
        const isEmpty = objectLock.section((section) => {
          section.write32(this.magazine.count, count - 1)
          return this.slabs.give(section, page, index)
        })
        if (isEmpty && this.slabs.emptyCount > 1) this.#release(page)
      }
    } finally {
      objectLock.unlock()
    }
    return this.magazineCount
  }

  /** A new slab, in the list; 0 if there are no pages. The lock is held. */
  #grow(): number {
    const { memory, map, objectLock } = this.#owner
    const { order, colours } = this.geometry
    const address = this.#pages.tryAlloc(order)
    if (address === undefined) return 0
    const page = address / PAGE_BYTES
    const colour = this.slabs.colour
    this.slabs.initialise(page)
    // The first page before the others: it says that they may be like it. Mutant: alloc/slab-tail-first.
    for (let i = 0; i < 1 << order; i++) {
      const descriptor = map.descriptor(page + i)
      const tail = i === 0 ? 0 : TAIL
      const found = this.magazine.state | (order << ORDER_SHIFT) | (colour << COLOUR_SHIFT) | tail
      store32(memory.i32, descriptor + state, found)
    }
    objectLock.section((section) => {
      section.write32(map.descriptor(page) + pageTag, this.#token | PERSISTENT)
      this.slabs.add(section, page, (colour + 1) % colours)
    })
    return page
  }

  /** Gives the pages of a slab without objects back. The lock is held. */
  #release(page: number): void {
    this.#pages.freeSlab(page, () =>
      this.#owner.objectLock.section((section) => {
        section.write32(this.#owner.map.descriptor(page) + pageTag, this.#token)
        this.slabs.remove(section, page)
      }),
    )
  }

  /** Takes the cache's lock; what the dead had in flight here is free afterwards. False: only for reapers. */
  #lock(): boolean {
    return this.#owner.lock(this.#owner.objectLock, this.word + CacheLayout.words.lock, () => {
      const swept = load32(this.#memory.i32, this.word + CacheLayout.words.swept)
      if (swept !== this.#owner.deaths) this.#sweepSlabs()
    })
  }

  #sweepSlabs(): void {
    const { objectLock, deaths } = this.#owner
    const { i32 } = this.#memory
    const isLost = this.#owner.orphanTest()
    for (const page of this.slabs.pages()) {
      const tags = page * (PAGE_BYTES / 4) + TAGS
      for (let i = this.slabs.freshOf(page) - 1; i >= 0; i--) {
        if (!isLost(load32(i32, tags + i))) continue
        this.#debug?.forget(this, tags + i)
        objectLock.section((section) => this.slabs.give(section, page, i))
      }
      if (this.slabs.isEmpty(page) && this.slabs.emptyCount > 1) this.#release(page)
    }
    // After the last of them: a walk that is interrupted is begun again.
    store32(i32, this.word + CacheLayout.words.swept, deaths)
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
  readonly owner: Owner
  readonly pages: PageAllocator
  readonly debug: Debug | undefined
  readonly at: number
  readonly index: number
  readonly name: string
  readonly geometry: Geometry
}
