/**
 * A cache of objects of one size, as this thread works with it. (Bonwick, "The slab allocator: an
 * object-caching kernel memory allocator", USENIX 1994; Bonwick and Adams, "Magazines and vmem",
 * USENIX 2001.)
 *
 *     CacheLayout │ CPU 0's magazine │ CPU 1's magazine │ …      on lines of their own
 *
 *     alloc ──▶ magazine ──half──▶ slabs ──▶ pages
 *
 * Usually an object is taken from the magazine, or put into it (magazine.ts). Here is everything
 * else. Refilling and spilling change the magazine's count in the same section as the slabs, under
 * the cache's lock.
 *
 * After a death no object is lost, and none is in two places. Orphans are free (owner.ts). The
 * objects in the dead CPU's magazine go back to the slabs. If another CPU has the lock at that
 * moment, they wait for the next thread of that CPU number.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { shown } from '../machine/check.js'
import { OutOfMemoryError } from '../machine/errors.js'
import { cpuOf } from '../machine/token.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { PAGE_REF_SHIFT } from './address.js'
import type { Debug } from './debug.js'
import { DoubleFreeError, ForeignAddressError } from './errors.js'
import type { Geometry } from './geometry.js'
import { CacheLayout } from './layouts.js'
import { give, openMagazine, peek, take, type Magazine } from './magazine.js'
import type { Owner } from './owner.js'
import { addressOf, slabState, TAIL } from './page-map.js'
import type { PageAllocator } from './pages.js'
import type { ObjectRequest } from './request.js'
import { Slabs } from './slabs.js'
import { locate, referenceOf, slabOf, slotAt, tagAt, TAGS } from './slots.js'
import { isAllocated, isPersistent, isQueued, mayFree, PERSISTENT, writeTag } from './tag.js'
import { visible } from '../shown.js'

const { load32, store32 } = mem
const { words } = CacheLayout

export interface SlabCacheParts {
  readonly owner: Owner
  readonly pages: PageAllocator
  readonly debug: Debug | undefined
  /** Word index of the CacheLayout. */
  readonly at: number
  /** Its number. */
  readonly index: number
  readonly name: string
  readonly geometry: Geometry
}

export class SlabCache {
  readonly name: string
  /** Bytes of an object. */
  readonly size: number
  readonly index: number
  readonly geometry: Geometry
  readonly slabs: Slabs
  /** Word index of the CacheLayout. */
  readonly at: number
  /** This CPU's. */
  readonly magazine: Magazine
  readonly #owner: Owner
  readonly #pages: PageAllocator
  readonly #debug: Debug | undefined
  readonly #memory: Memory

  constructor({ owner, pages, debug, at, index, name, geometry }: SlabCacheParts) {
    this.name = name
    this.size = geometry.size
    this.index = index
    this.geometry = geometry
    this.slabs = new Slabs(owner.memory, at, geometry.objects, debug === undefined ? 1 : 2)
    this.at = at
    this.magazine = openMagazine(owner, at, index, geometry)
    this.#owner = owner
    this.#pages = pages
    this.#debug = debug
    this.#memory = owner.memory
  }

  /** Takes an object of which only so many bytes are wanted. @throws OutOfMemoryError. */
  alloc(bytes: number, { zero = false, persist = false, label }: ObjectRequest = {}): number {
    const { magazine } = this
    if (this.count === 0) this.#refill()
    const reference = peek(magazine)
    this.#debug?.allocated(this, reference * 8, tagAt(magazine, reference), label, bytes)
    if (zero) mem.fillBytes(this.#memory, reference * 8, bytes, 0)
    return take(magazine, persist ? magazine.token | PERSISTENT : magazine.token)
  }

  /** Gives an object back. @throws DoubleFreeError; ForeignAddressError. */
  free(address: number): void {
    const tag = this.locate(address)
    const found = load32(this.#memory.i32, tag)
    if (!isAllocated(found) || isQueued(found)) throw this.#doubleFree(address)
    if (!mayFree(found, this.#owner.token)) throw this.#inFlight(address, found)
    if (this.count >= this.magazine.full) this.#spill(this.magazine.full >>> 1)
    const poison = this.#debug?.freed(this, address, tag)
    give(this.magazine, address / 8, this.#stateAt(address / 8))
    if (poison !== undefined) this.#debug?.poisoned(this, tag, poison)
  }

  /**
   * From now on, or from the section's commit, the object is persistent.
   *
   * @throws ForeignAddressError.
   */
  persist(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#owner.token | PERSISTENT, section)
  }
  /**
   * From now on, or from the section's commit, the object is in flight.
   *
   * @throws ForeignAddressError.
   */
  adopt(address: number, section?: SectionWriter): void {
    this.#setTag(address, this.#owner.token, section)
  }

  /** Gives this CPU's magazine back to the slabs, and the pages of slabs without objects back. */
  trim(): void {
    this.emptyMagazine()
    if (!this.lock()) return
    try {
      for (const page of this.slabs.pages()) if (this.slabs.isEmpty(page)) this.#release(page)
    } finally {
      this.unlock()
    }
  }

  /** Gives the magazine back to the slabs. A reaper does so if the lock is free. */
  emptyMagazine(): void {
    if (this.count > 0) this.#spill(this.count)
  }

  /** Objects in this CPU's magazine. */
  get count(): number {
    return load32(this.#memory.i32, this.magazine.count)
  }

  /** For the reaper: the objects in the magazine are free. */
  clearTags(): void {
    const { i32 } = this.#memory
    for (let i = this.count; i > 0; i--) {
      const tag = tagAt(this.magazine, load32(i32, this.magazine.count + i))
      this.#debug?.forget(this, tag)
      store32(i32, tag, 0)
    }
  }

  /** For the reaper: frees orphans, if the lock is free. */
  sweep(): void {
    if (!this.lock()) return
    try {
      this.#freeOrphans()
    } finally {
      this.unlock()
    }
  }

  /**
   * Takes the cache's lock; no orphan is left then. False: only for reapers.
   *
   * @throws LockTimeoutError.
   */
  lock(): boolean {
    return this.#owner.lock(this.#owner.objectLock, this.at + words.lock, () => {
      if (load32(this.#memory.i32, this.at + words.swept) !== this.#owner.deaths) this.#freeOrphans()
    })
  }
  unlock(): void {
    this.#owner.objectLock.unlock()
  }

  /** The address of an object, by its slab's first page and its slot. */
  addressIn(page: number, slot: number): number {
    return referenceOf(this.magazine, page, slot, this.#owner.pageMap.state(page)) * 8
  }

  /**
   * Word index of the tag of the object that starts at an address.
   *
   * @throws ForeignAddressError if none does.
   */
  locate(address: number): number {
    const { magazine } = this
    const reference = typeof address === 'number' ? address / 8 : -1
    const page = reference >> PAGE_REF_SHIFT
    if ((reference | 0) !== reference || page < 0 || page >= magazine.pages) throw this.#foreign(address)
    const tag = locate(magazine, reference, this.#stateAt(reference))
    if (tag === 0) throw this.#foreign(address)
    return tag
  }
  /** The state of the page that a reference points into. */
  #stateAt(reference: number): number {
    return this.#owner.pageMap.state(reference >> PAGE_REF_SHIFT)
  }

  #setTag(address: number, value: number, section: SectionWriter | undefined): void {
    const word = this.locate(address)
    const found = load32(this.#memory.i32, word)
    if (!isAllocated(found) || isQueued(found)) throw this.#doubleFree(address)
    if (found !== this.#owner.token && !isPersistent(found)) throw this.#inFlight(address, found)
    writeTag(this.#memory, word, value, section)
  }

  /** Half a magazine from the slabs. @throws OutOfMemoryError if there is not one object. */
  #refill(): void {
    this.#take()
    // Mutant: rcu/never-relieved.
    if (this.count === 0 && this.#owner.relieve()) this.#take()
    if (this.count > 0) return
    throw new OutOfMemoryError(
      `no room for another object of ${this.size} bytes (${visible(this.name)}): boot with more \`memory\``,
      { cache: this.name, size: this.size },
    )
  }
  /** Nothing, if what was freed meanwhile lies in the magazine. */
  #take(): void {
    if (this.count > 0) return
    const { objectLock } = this.#owner
    this.lock()
    try {
      let wanted = this.magazine.full >>> 1
      while (wanted > 0) {
        const page = this.slabs.firstPartial || this.#grow()
        if (page === 0) break
        wanted -= objectLock.section((section) => this.#takeFrom(section, page, wanted))
      }
    } finally {
      this.unlock()
    }
  }

  #takeFrom(section: SectionWriter, page: number, wanted: number): number {
    const { i32 } = this.#memory
    const { count } = this
    // Written from behind, so that the first one is taken first.
    let entry = this.magazine.count + count + Math.min(wanted, this.slabs.freeIn(page))
    const taken = this.slabs.take(section, page, wanted, (slot) => {
      store32(i32, entry--, this.addressIn(page, slot) / 8)
    })
    section.write32(this.magazine.count, count + taken)
    return taken
  }

  /** Gives so many objects of the magazine back to their slabs. */
  #spill(objects: number): void {
    const { objectLock } = this.#owner
    const { magazine } = this
    // Gives the last object back; returns its slab if all of that is free then, or 0. One function
    // for all objects: each would be garbage.
    const giveLast = (section: SectionWriter): number => {
      const reference = peek(magazine)
      const page = slabOf(magazine, reference)
      section.write32(magazine.count, this.count - 1)
      return this.slabs.give(section, page, slotAt(magazine, reference)) ? page : 0
    }
    if (!this.lock()) return
    try {
      for (; objects > 0; objects--) {
        const empty = objectLock.section(giveLast)
        if (empty !== 0 && this.slabs.emptyCount > 1) this.#release(empty)
      }
    } finally {
      this.unlock()
    }
  }

  /** A new slab, in the list; 0 if there are no pages. The lock is held. */
  #grow(): number {
    const { pageMap, objectLock, token } = this.#owner
    const { order, colours } = this.geometry
    const address = this.#pages.tryAlloc(order)
    if (address === undefined) return 0
    const page = address / PAGE_BYTES
    const { colour } = this.slabs
    this.slabs.initialise(page)
    const state = slabState(order, this.index, colour)
    // The first page before the others: it says that they may be like it. Mutant:
    // alloc/slab-tail-first.
    for (let i = 0; i < 1 << order; i++) pageMap.setState(page + i, i === 0 ? state : state | TAIL)
    objectLock.section((section) => {
      section.write32(pageMap.tagWord(page), token | PERSISTENT)
      this.slabs.add(section, page, (colour + 1) % colours)
    })
    return page
  }

  /** Gives the pages of a slab without objects back. The lock is held. */
  #release(page: number): void {
    const { pageMap, objectLock, token } = this.#owner
    this.#pages.zones.giveSlab(page, () =>
      objectLock.section((section) => {
        section.write32(pageMap.tagWord(page), token)
        this.slabs.remove(section, page)
      }),
    )
  }

  #freeOrphans(): void {
    const { objectLock, deaths } = this.#owner
    const { i32 } = this.#memory
    const isOrphan = this.#owner.orphanTest()
    for (const page of this.slabs.pages()) {
      const tags = addressOf(page) / 4 + TAGS
      for (let slot = this.slabs.freshOf(page) - 1; slot >= 0; slot--) {
        if (!isOrphan(load32(i32, tags + slot))) continue
        this.#debug?.forget(this, tags + slot)
        objectLock.section((section) => this.slabs.give(section, page, slot))
      }
      if (this.slabs.isEmpty(page) && this.slabs.emptyCount > 1) this.#release(page)
    }
    // After the last of them: a walk that is interrupted is begun again.
    store32(i32, this.at + words.swept, deaths)
  }

  #doubleFree(address: number): DoubleFreeError {
    return new DoubleFreeError(
      `the object of ${visible(this.name)} at ${address} is free already, or about to be freed`,
      { address },
    )
  }
  #inFlight(address: number, tag: number): ForeignAddressError {
    return new ForeignAddressError(
      `the object at ${address} is in flight with CPU ${cpuOf(tag)}: what others are to free, that CPU makes persistent`,
      { address, cpu: cpuOf(tag) },
    )
  }
  #foreign(address: number): ForeignAddressError {
    return new ForeignAddressError(`no object of ${visible(this.name)} starts at ${shown(address)}`, {
      address,
      cache: this.name,
    })
  }
}
