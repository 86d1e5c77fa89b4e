/**
 * A zone: the free blocks of one NUMA node, by the buddy system. (Knowlton, "A fast storage
 * allocator", 1965; Knuth, "The Art of Computer Programming" 1, 2.5.)
 *
 *     lists[order] ──▶ block ⇄ block ⇄ …   free blocks of 2^order pages, at multiples of it
 *     frontier … limit                     pages taken from boot memory and never touched
 *
 * Taking splits the smallest block that is large enough. Giving back merges with the buddy, the
 * other half of the block twice as large, as long as that is free.
 *
 * Pages come from boot memory when they are needed, a *span* at a time: a 64th of the machine. So
 * boot writes nothing, and a machine that does not use its heap keeps all its boot memory. Of a
 * span, only the blocks that were carved off at the frontier have descriptors.
 *
 * Rules. Everything here is written under the zone's lock, through the section given: killed at any
 * point, the lists are as before or as after. A span is a memblock region. The section that adds it
 * writes it into `span`, and it is made persistent after that. If the thread dies between the two,
 * its reaper makes it persistent before it frees the regions of the dead. If the thread dies
 * earlier, the span is freed.
 *
 * Cost: a split or merge changes 3 to 5 words, 3 to 4 ns each.
 */
import { loadU32, storeU32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { Memblock } from '../bootmem/memblock.js'
import { OutOfMemoryError } from '../machine/errors.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import type { HeapMap } from './heap-map.js'
import { MAX_ORDER, ORDERS, ZoneLayout } from './layouts.js'
import type { Owner } from './owner.js'
import {
  addressOf,
  BLOCK,
  CLEAN,
  FREE,
  KIND,
  NONE,
  ORDER_SHIFT,
  orderOf,
  SLAB,
  TAIL,
  USED,
  usedState,
  type PageMap,
} from './page-map.js'
import { isAllocated } from './tag.js'

const { words } = ZoneLayout
/** Pages of a span, at least. */
const MIN_SPAN = 16

/** A row of pages from boot memory. */
interface Span {
  readonly page: number
  readonly pages: number
}

/** How much of the heap of one NUMA node is used. */
export interface ZoneReport {
  readonly node: number
  /** Bytes taken from boot memory so far. */
  readonly total: number
  /** Of these, bytes in lists of the zone or never touched. */
  readonly free: number
  /** Free blocks in the lists, by order. */
  readonly blocks: readonly number[]
}

export class Zone {
  readonly node: number
  /** Word index of its lock. */
  readonly lock: number
  /** First page of the node, and the first one behind it. */
  readonly first: number
  readonly end: number
  readonly #memory: Memory
  readonly #map: HeapMap
  readonly #pageMap: PageMap
  /** Word index of its ZoneLayout. */
  readonly #at: number
  /** At which version of boot memory it had no span with a block of which order. */
  #spent: { readonly version: bigint; readonly order: number } | undefined

  constructor({ memory, map, pageMap }: Pick<Owner, 'memory' | 'map' | 'pageMap'>, node: number) {
    this.#memory = memory
    this.#map = map
    this.#pageMap = pageMap
    this.node = node
    this.#at = map.zone(node)
    this.lock = this.#at + words.lock
    ;[this.first, this.end] = map.pagesOf(node)
  }

  /** Takes a block out of the lists; its first page is USED, with this tag. 0 if there is none. */
  take(section: SectionWriter, order: number, tag: number): number {
    for (let from = order; from < ORDERS; from++) {
      const page = this.load(words.lists + from)
      if (page === 0) continue
      const clean = this.#pageMap.state(page) & CLEAN
      this.#unlink(section, page, from)
      for (let half = from - 1; half >= order; half--) this.#link(section, page + (1 << half), half, clean)
      section.write32(this.#pageMap.stateWord(page), usedState(order) | clean)
      section.write32(this.#pageMap.tagWord(page), tag)
      section.write32(this.#at + words.free, this.load(words.free) - (1 << order))
      return page
    }
    return 0
  }

  /**
   * Puts a block into the lists, merged with its buddies. The state of its first page may be
   * anything.
   */
  give(section: SectionWriter, page: number, order: number, isClean = false): void {
    section.write32(this.#at + words.free, this.load(words.free) + (1 << order))
    let clean = isClean ? CLEAN : 0
    for (; order < MAX_ORDER; order++) {
      const buddy = page ^ (1 << order)
      if (buddy < this.first || buddy + (1 << order) > this.end) break
      const state = this.#pageMap.state(buddy)
      if ((state & BLOCK) !== (FREE | (order << ORDER_SHIFT))) break
      clean &= state
      this.#unlink(section, buddy, order)
      section.write32(this.#pageMap.stateWord(Math.max(page, buddy)), NONE)
      page = Math.min(page, buddy)
    }
    this.#link(section, page, order, clean)
  }

  /** Moves the frontier by one block, into the lists. False if there is none. */
  carve(section: SectionWriter): boolean {
    const frontier = this.load(words.frontier)
    const rest = this.load(words.limit) - frontier
    if (rest === 0) return false
    const aligned = 31 - Math.clz32(frontier & -frontier)
    const order = Math.min(MAX_ORDER, aligned, 31 - Math.clz32(rest))
    section.write32(this.#at + words.frontier, frontier + (1 << order))
    this.give(section, frontier, order, true)
    return true
  }

  /**
   * Takes a span from boot memory that holds a block of this order; undefined if there is none. The
   * frontier must be at the limit. It does not look again while nothing has changed in boot memory.
   */
  findSpan(memblock: Memblock, order: number): Span | undefined {
    const { version } = memblock
    if (this.#spent?.version === version && order >= this.#spent.order) return undefined
    const span = this.#searchSpan(memblock, order)
    if (!span) this.#spent = { version, order }
    return span
  }
  #searchSpan(memblock: Memblock, order: number): Span | undefined {
    const needed = 1 << order
    const room = memblock.room(this.node, needed * PAGE_BYTES) / PAGE_BYTES
    let pages = Math.max(needed, MIN_SPAN, Math.floor(this.#map.pages / 64))
    while (pages > needed && pages > room) pages = Math.max(needed, pages >>> 1)
    const address = pages > room ? undefined : allocSpan(memblock, pages, needed, this.node)
    return address === undefined ? undefined : { page: address / PAGE_BYTES, pages }
  }

  /** Makes a span the zone's; after the section it must be made persistent. */
  addSpan(section: SectionWriter, page: number, pages: number): void {
    const low = this.load(words.low)
    section.write32(this.#at + words.span, page)
    section.write32(this.#at + words.frontier, page)
    section.write32(this.#at + words.limit, page + pages)
    section.write32(this.#at + words.low, low === 0 ? page : Math.min(low, page))
    section.write32(this.#at + words.high, Math.max(this.load(words.high), page + pages))
    section.write32(this.#at + words.pages, this.load(words.pages) + pages)
  }

  /**
   * Makes the span that was added last persistent: its CPU may have died before. The lock is held.
   */
  persistSpan(memblock: Memblock): void {
    const span = this.load(words.span)
    if (span !== 0) memblock.persist(addressOf(span))
  }

  /**
   * For the reaper, without the lock: as {@link persistSpan}, if the dead CPU took the span.
   * Another CPU that wrote `span` after it has made the dead one's persistent before. The other
   * CPU's own span is not the reaper's business: its section may still be taken back. Mutant:
   * alloc/span-of-others.
   */
  persistSpanOfDead(memblock: Memblock): void {
    const span = this.load(words.span)
    if (span !== 0) memblock.persistOwn(addressOf(span))
  }

  /** First pages of the allocated blocks whose tag passes `isWanted`. */
  select(isWanted: (tag: number) => boolean): number[] {
    const found: number[] = []
    for (const page of this.blocks()) {
      const kind = this.#pageMap.state(page) & KIND
      const tag = this.#pageMap.tag(page)
      if ((kind === USED || kind === SLAB) && isAllocated(tag) && isWanted(tag)) found.push(page)
    }
    return found
  }

  /** The first page of each block, ascending, whatever its state. */
  *blocks(): Generator<number> {
    const high = this.load(words.high)
    for (let page = this.load(words.low); page < high;) {
      const state = this.#pageMap.state(page)
      const isBlock = (state & KIND) !== NONE && (state & TAIL) === 0
      if (isBlock) yield page
      page += isBlock ? 1 << orderOf(state) : 1
    }
  }

  /**
   * Makes a slab, or a block that was becoming or ceasing to be one, a plain block. It is the
   * caller's.
   */
  clearSlab(page: number): void {
    const state = this.#pageMap.state(page)
    if ((state & KIND) !== SLAB) return
    // From the last page to the first: as long as the first says SLAB, the others may. Mutant:
    // alloc/slab-head-first.
    for (let i = (1 << orderOf(state)) - 1; i > 0; i--) this.#pageMap.setState(page + i, NONE)
    this.#pageMap.setState(page, usedState(orderOf(state)))
  }

  /** A snapshot. */
  report(): ZoneReport {
    const blocks = new Array<number>(ORDERS).fill(0)
    for (const page of this.blocks()) {
      const state = this.#pageMap.state(page)
      const order = orderOf(state)
      if ((state & KIND) === FREE) blocks[order] = (blocks[order] ?? 0) + 1
    }
    const untouched = this.load(words.limit) - this.load(words.frontier)
    return {
      node: this.node,
      total: this.load(words.pages) * PAGE_BYTES,
      free: (this.load(words.free) + untouched) * PAGE_BYTES,
      blocks,
    }
  }

  /** The `deaths` after which orphans were last freed here: owner.ts. */
  get swept(): number {
    return this.load(words.swept) | 0
  }
  /** After the last orphan is free: a walk that was interrupted is begun again. */
  setSwept(deaths: number): void {
    storeU32(this.#memory.u32, this.#at + words.swept, deaths)
  }

  /** A word of the zone, by its offset in {@link ZoneLayout}. */
  load(word: number): number {
    return loadU32(this.#memory.u32, this.#at + word)
  }

  #link(section: SectionWriter, page: number, order: number, clean: number): void {
    section.write32(this.#pageMap.stateWord(page), FREE | (order << ORDER_SHIFT) | clean)
    this.#pageMap.links.addFirst(section, page, this.#at + words.lists + order)
  }

  #unlink(section: SectionWriter, page: number, order: number): void {
    this.#pageMap.links.remove(section, page, this.#at + words.lists + order)
  }
}

function allocSpan(memblock: Memblock, pages: number, align: number, node: number): number | undefined {
  try {
    const size = pages * PAGE_BYTES
    return memblock.alloc({ size, align: align * PAGE_BYTES, node, strict: true, label: 'pages' })
  } catch (error) {
    if (error instanceof OutOfMemoryError) return undefined
    throw error
  }
}
