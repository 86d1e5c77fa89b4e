/**
 * The slabs of a cache: which objects are free, other than those in magazines.
 *
 *     CacheLayout   partial ──▶ slab ⇄ slab ⇄ …    slabs with free objects, the last used first
 *                   full ─────▶ slab ⇄ slab ⇄ …    slabs without
 *     slab          list ──▶ object ──▶ object …    free objects; the tag of each names the next:
 *                                                   ~index, or END
 *                   fresh                           objects from here on were never used, their
 *                                                   tags are 0
 *
 * Rules. Everything here is written under the cache's lock, through the section given. The tags of
 * free objects alone need no section: they mean nothing as long as the object is in no list.
 */
import { load32, loadU32, store32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { Links } from '../sync/intrusive-list.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { CacheLayout, SlabLayout } from './layouts.js'
import { TAGS } from './slots.js'

const cache = CacheLayout.words
const slab = SlabLayout.words
/** In `list`: the list is empty. */
const NO_OBJECT = -1
/** In the tag of the last object of a list: ~0x7fffffff, for a tag there must be below 0. */
const END = -0x80000000

export class Slabs {
  readonly #memory: Memory
  /** Word index of the CacheLayout. */
  readonly #at: number
  readonly #objects: number
  readonly #tags: number
  readonly #links: Links

  /** `tags`: words for each object, 1 or, in debug mode, 2. */
  constructor(memory: Memory, at: number, objects: number, tags: number) {
    this.#memory = memory
    this.#at = at
    this.#objects = objects
    this.#tags = tags
    this.#links = new Links(memory, { next: slab.next, previous: slab.previous, stride: PAGE_BYTES / 4 })
  }

  get firstPartial(): number {
    return loadU32(this.#memory.u32, this.#at + cache.partial)
  }
  get slabCount(): number {
    return loadU32(this.#memory.u32, this.#at + cache.slabs)
  }
  get emptyCount(): number {
    return loadU32(this.#memory.u32, this.#at + cache.empty)
  }
  get colour(): number {
    return loadU32(this.#memory.u32, this.#at + cache.colour)
  }

  /** How many objects of a slab are free, other than those in magazines. */
  freeIn(page: number): number {
    return load32(this.#memory.i32, this.#slab(page) + slab.free)
  }
  /** The first object of a slab that was never handed out. */
  freshOf(page: number): number {
    return load32(this.#memory.i32, this.#slab(page) + slab.fresh)
  }

  /** Prepares a block of pages that nobody else knows of. */
  initialise(page: number): void {
    const { i32 } = this.#memory
    const at = this.#slab(page)
    store32(i32, at + slab.free, this.#objects)
    store32(i32, at + slab.list, NO_OBJECT)
    store32(i32, at + slab.fresh, 0)
    for (let i = 0; i < this.#objects * this.#tags; i++) store32(i32, at + TAGS + i, 0)
  }

  /** Adds a prepared slab. */
  add(section: SectionWriter, page: number, colour: number): void {
    this.#count(section, cache.slabs, 1)
    this.#count(section, cache.empty, 1)
    section.write32(this.#at + cache.colour, colour)
    this.#links.addFirst(section, page, this.#at + cache.partial)
  }

  /** Removes a slab all of whose objects are free. */
  remove(section: SectionWriter, page: number): void {
    this.#links.remove(section, page, this.#at + cache.partial)
    this.#count(section, cache.slabs, -1)
    this.#count(section, cache.empty, -1)
  }

  /**
   * Takes up to `wanted` objects out of a slab with free ones; `receive` gets their indices.
   * Returns how many.
   */
  take(section: SectionWriter, page: number, wanted: number, receive: (index: number) => void): number {
    const { i32 } = this.#memory
    const at = this.#slab(page)
    const free = load32(i32, at + slab.free)
    const taken = Math.min(wanted, free)
    let head = load32(i32, at + slab.list)
    let fresh = load32(i32, at + slab.fresh)
    for (let i = 0; i < taken; i++) {
      if (head === NO_OBJECT) receive(fresh++)
      else {
        receive(head)
        head = nextOf(load32(i32, at + TAGS + head))
      }
    }
    section.write32(at + slab.free, free - taken)
    section.write32(at + slab.list, head)
    section.write32(at + slab.fresh, fresh)
    if (free === this.#objects) this.#count(section, cache.empty, -1)
    if (free === taken) {
      this.#links.remove(section, page, this.#at + cache.partial)
      this.#links.addFirst(section, page, this.#at + cache.full)
    }
    return taken
  }

  /** Puts a free object into its slab. Returns whether all objects of the slab are free now. */
  give(section: SectionWriter, page: number, index: number): boolean {
    const { i32 } = this.#memory
    const at = this.#slab(page)
    const free = load32(i32, at + slab.free)
    const head = load32(i32, at + slab.list)
    section.write32(at + TAGS + index, head === NO_OBJECT ? END : ~head)
    section.write32(at + slab.list, index)
    section.write32(at + slab.free, free + 1)
    if (free === 0) {
      this.#links.remove(section, page, this.#at + cache.full)
      this.#links.addFirst(section, page, this.#at + cache.partial)
    }
    if (free + 1 < this.#objects) return false
    this.#count(section, cache.empty, 1)
    return true
  }

  /** All slabs, by their first pages. */
  *pages(): Generator<number> {
    for (const list of [cache.partial, cache.full]) {
      for (let page = loadU32(this.#memory.u32, this.#at + list); page !== 0;) {
        // Read before the caller removes the slab, or moves it to another list.
        const after = this.#links.next(page)
        yield page
        page = after
      }
    }
  }

  /** The objects in the list of a slab. */
  *listed(page: number): Generator<number> {
    const { i32 } = this.#memory
    const at = this.#slab(page)
    for (let i = load32(i32, at + slab.list); i !== NO_OBJECT; i = nextOf(load32(i32, at + TAGS + i))) yield i
  }

  /** Whether all objects of a slab are free, and in no magazine. */
  isEmpty(page: number): boolean {
    return this.freeIn(page) === this.#objects
  }

  #slab(page: number): number {
    return (page * PAGE_BYTES) / 4
  }

  #count(section: SectionWriter, word: number, by: number): void {
    section.write32(this.#at + word, loadU32(this.#memory.u32, this.#at + word) + by)
  }
}

function nextOf(tag: number): number {
  return tag === END ? NO_OBJECT : ~tag
}
