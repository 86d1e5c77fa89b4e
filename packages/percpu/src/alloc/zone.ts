/**
 * A zone: the free blocks of one NUMA node, by the buddy system. (Knowlton, "A fast storage allocator", 1965; Knuth, "The Art of
 * Computer Programming" 1, 2.5.)
 *
 *     lists[order] ──▶ block ⇄ block ⇄ …         free blocks of 2^order pages, at multiples of their size
 *     frontier … limit                           pages taken from boot memory and never touched
 *
 * Taking splits the smallest block that is large enough; giving back merges with the buddy, the other half of the block twice as
 * large, as long as that is free. Pages come from boot memory a *span* at a time, a 64th of the machine, when they are needed: so
 * boot writes nothing, a machine that does not use its heap keeps all its boot memory, and the two share one memory. Of a span
 * only what is carved off at the frontier ever gets descriptors.
 *
 * Rules: everything here is written under the zone's lock, through the section given (layer-lock.ts): killed at any point, the lists are as
 * before or as after. Blocks that a dead CPU had in flight are found by a walk over the descriptors, by whoever takes the lock first
 * after the death was announced, usually the reaper.
 * A span is a memblock region. It is written into `span` by the section that adds it, and persistent after that: if the thread dies
 * in between, the reaper keeps it before it frees the regions of the dead; if it dies earlier, it is freed.
 *
 * Cost: a split or merge changes 3 to 5 words, 3 to 4 ns each.
 */
import { load32, loadU32, storeU32, store32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { OutOfMemoryError } from '../machine/errors.js'
import type { Memblock } from '../bootmem/memblock.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { MAX_ORDER, ORDERS, ZoneLayout } from './layouts.js'
import { isAllocated } from './tag.js'
import {
  addressOf,
  BLOCK,
  CLEAN,
  FREE,
  KIND,
  next,
  NONE,
  ORDER_SHIFT,
  orderOf,
  previous,
  SLAB,
  state,
  tag,
  TAIL,
  USED,
  type HeapMap,
} from './page-map.js'

const { words } = ZoneLayout
/** Pages of a span, at least. */
const MIN_SPAN = 16

export interface ZoneReport {
  readonly node: number
  /** Bytes taken from boot memory so far; of these, in lists of the zone or never touched. */
  readonly total: number
  readonly free: number
  /** Free blocks in the lists, by order. */
  readonly blocks: readonly number[]
}

export class Zone {
  readonly node: number
  /** Word index of its lock. */
  readonly lock: number
  /** Of the node: first page, and the first one behind it. */
  readonly first: number
  readonly end: number
  readonly #memory: Memory
  readonly #map: HeapMap
  readonly #at: number

  constructor(memory: Memory, map: HeapMap, node: number) {
    this.#memory = memory
    this.#map = map
    this.node = node
    this.#at = map.zone(node)
    this.lock = this.#at + words.lock
    ;[this.first, this.end] = map.pagesOf(node)
  }

  /** Takes a block out of the lists, its first page in state USED with this tag; 0 if there is none. */
  take(section: SectionWriter, order: number, owner: number): number {
    for (let from = order; from < ORDERS; from++) {
      const page = this.load(words.lists + from)
      if (page === 0) continue
      const clean = this.#state(page) & CLEAN
      this.#unlink(section, page, from)
      for (let half = from - 1; half >= order; half--) this.#link(section, page + (1 << half), half, clean)
      section.write32(this.#map.descriptor(page) + state, USED | (order << ORDER_SHIFT) | clean)
      section.write32(this.#map.descriptor(page) + tag, owner)
      section.write32(this.#at + words.free, this.load(words.free) - (1 << order))
      return page
    }
    return 0
  }

  /** Puts a block into the lists, merged with its buddies. The state of its first page may be anything. */
  give(section: SectionWriter, page: number, order: number, isClean = false): void {
    section.write32(this.#at + words.free, this.load(words.free) + (1 << order))
    let clean = isClean ? CLEAN : 0
    for (; order < MAX_ORDER; order++) {
      const buddy = page ^ (1 << order)
      if (buddy < this.first || buddy + (1 << order) > this.end) break
      const found = this.#state(buddy)
      if ((found & BLOCK) !== (FREE | (order << ORDER_SHIFT))) break
      clean &= found
      this.#unlink(section, buddy, order)
      section.write32(this.#map.descriptor(Math.max(page, buddy)) + state, NONE)
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

  /** Takes a span from boot memory that holds a block of this order; undefined if there is none. The frontier is at the limit. */
  findSpan(memblock: Memblock, order: number): { readonly page: number; readonly pages: number } | undefined {
    const needed = 1 << order
    const usual = Math.max(MIN_SPAN, Math.floor(this.#map.pages / 64))
    for (let pages = Math.max(needed, usual); ; pages = Math.max(needed, pages >>> 1)) {
      const address = allocSpan(memblock, pages, needed, this.node)
      if (address !== undefined) return { page: address / PAGE_BYTES, pages }
      if (pages === needed) return undefined
    }
  }

  /** Makes a span the zone's; then it must be persistent. */
  addSpan(section: SectionWriter, page: number, pages: number): void {
    const low = this.load(words.low)
    section.write32(this.#at + words.span, page)
    section.write32(this.#at + words.frontier, page)
    section.write32(this.#at + words.limit, page + pages)
    section.write32(this.#at + words.low, low === 0 ? page : Math.min(low, page))
    section.write32(this.#at + words.high, Math.max(this.load(words.high), page + pages))
    section.write32(this.#at + words.pages, this.load(words.pages) + pages)
  }

  /** Keeps the span that was added last: whoever added it may have died before doing so. The lock is held. */
  persistSpan(memblock: Memblock): void {
    const span = this.load(words.span)
    if (span !== 0) memblock.persist(addressOf(span))
  }

  /**
   * For the reaper, without the lock: keeps that span if the dead CPU took it. If another one is there, the CPU that wrote it persistent the dead
   * one's before; and may still take it back, so it is not the reaper's to keep. Mutant: alloc/span-of-others.
   */
  persistSpanOfDead(memblock: Memblock): void {
    const span = this.load(words.span)
    if (span !== 0) memblock.persistOwn(addressOf(span))
  }

  /** The blocks, first pages, that are allocated and whose tag passes `wanted`. */
  select(wanted: (tag: number) => boolean): number[] {
    const found: number[] = []
    for (const page of this.blocks()) {
      const kind = this.#state(page) & KIND
      const owner = load32(this.#memory.i32, this.#map.descriptor(page) + tag)
      if ((kind === USED || kind === SLAB) && isAllocated(owner) && wanted(owner)) found.push(page)
    }
    return found
  }

  /** The first page of each block, ascending, whatever its state. */
  *blocks(): Generator<number> {
    const high = this.load(words.high)
    for (let page = this.load(words.low); page < high;) {
      const found = this.#state(page)
      const isBlock = (found & KIND) !== NONE && (found & TAIL) === 0
      if (isBlock) yield page
      page += isBlock ? 1 << orderOf(found) : 1
    }
  }

  /** Makes a block of objects, or one that was becoming or ceasing to be one, a plain block again. It is the caller's. */
  clearSlab(page: number): void {
    const { i32 } = this.#memory
    const found = this.#state(page)
    if ((found & KIND) !== SLAB) return
    // From the last page to the first: as long as the first says SLAB, the others may. Mutant: alloc/slab-head-first.
    for (let i = (1 << orderOf(found)) - 1; i > 0; i--)
      store32(i32, this.#map.descriptor(page + i) + state, NONE)
    store32(i32, this.#map.descriptor(page) + state, USED | (orderOf(found) << ORDER_SHIFT))
  }

  /** A snapshot. */
  report(): ZoneReport {
    const blocks = new Array<number>(ORDERS).fill(0)
    for (const page of this.blocks()) {
      const found = this.#state(page)
      const order = orderOf(found)
      if ((found & KIND) === FREE) blocks[order] = (blocks[order] ?? 0) + 1
    }
    const untouched = this.load(words.limit) - this.load(words.frontier)
    return {
      node: this.node,
      total: this.load(words.pages) * PAGE_BYTES,
      free: (this.load(words.free) + untouched) * PAGE_BYTES,
      blocks,
    }
  }

  get swept(): number {
    return this.load(words.swept) | 0
  }
  /** After everything of the dead was freed: an interrupted walk is begun again. */
  setSwept(deaths: number): void {
    storeU32(this.#memory.u32, this.#at + words.swept, deaths)
  }

  /** A word of the zone, by its place in {@link ZoneLayout}. */
  load(word: number): number {
    return loadU32(this.#memory.u32, this.#at + word)
  }

  #state(page: number): number {
    return load32(this.#memory.i32, this.#map.descriptor(page) + state)
  }

  #link(section: SectionWriter, page: number, order: number, clean: number): void {
    const list = words.lists + order
    const first = this.load(list)
    const at = this.#map.descriptor(page)
    section.write32(at + state, FREE | (order << ORDER_SHIFT) | clean)
    section.write32(at + next, first)
    section.write32(at + previous, 0)
    if (first !== 0) section.write32(this.#map.descriptor(first) + previous, page)
    section.write32(this.#at + list, page)
  }

  #unlink(section: SectionWriter, page: number, order: number): void {
    const { i32 } = this.#memory
    const at = this.#map.descriptor(page)
    const [after, before] = [load32(i32, at + next), load32(i32, at + previous)]
    if (before === 0) section.write32(this.#at + words.lists + order, after)
    else section.write32(this.#map.descriptor(before) + next, after)
    if (after !== 0) section.write32(this.#map.descriptor(after) + previous, before)
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
