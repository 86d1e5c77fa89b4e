/**
 * The runs of one chunk: finding one, allocating it, freeing it. (After the kernel's
 * pcpu_find_block_fit, pcpu_alloc_area and pcpu_free_area.)
 *
 * Where a chunk is one piece of memory, a run goes on from block to block, and so may an object.
 *
 * Where units are mapped page by page, pages that follow each other in a unit lie apart in memory.
 * An object of up to a page then lies inside one page, as views reach it only there. A larger
 * object begins at a page. So a run for the former is a run of one block; a run for the latter is a
 * row of free blocks and the free start of the block behind them.
 *
 * The hints of the whole chunk follow the equations whole.… of layouts.ts. They are cheap to keep:
 * contig is made anew from the hints of the blocks when an allocation overlaps it. Frees inside a
 * block only extend it there, so it may be too short at either end where a run crosses blocks.
 */
import type { I32View } from '#mem'
import * as mem from '#mem'
import {
  clearRange,
  countSet,
  distanceToNext,
  findRun,
  isSet,
  isSetInBoth,
  setBit,
  setRange,
} from './bitmap.js'
import { BLOCK, pageOf, type Geometry } from './geometry.js'
import {
  blockFreed,
  blockTaken,
  contig,
  contigStart,
  exhaustBlock,
  firstFree,
  left,
  rebuildBlock,
  resetBlock,
  right,
  searchStart,
} from './hints.js'
import { PercpuChunk } from './layouts.js'
import type { LockedMemory } from './locked-memory.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { whole, freeGranules, end } = PercpuChunk.words

export class Chunks {
  readonly locked: LockedMemory
  readonly geometry: Geometry

  constructor(locked: LockedMemory, geometry: Geometry) {
    this.locked = locked
    this.geometry = geometry
  }

  isPopulated(chunk: number, page: number): boolean {
    return isSet(this.locked.view, chunk + this.geometry.populated, page)
  }
  /** Whether all pages of a run are populated. */
  areAllPopulated(chunk: number, start: number, length: number): boolean {
    const { geometry } = this
    const { view } = this.locked
    if (!geometry.isMapped) return true
    const from = pageOf(start)
    const to = pageOf(start + length - 1)
    for (let page = from; page <= to; page++) if (!isSet(view, chunk + geometry.populated, page)) return false
    return true
  }
  /** Whether the page is wholly free. */
  isEmpty(chunk: number, page: number): boolean {
    return load32(this.locked.view, this.#block(chunk, page) + left) === BLOCK
  }

  /**
   * Looks for a run that fits, by the hints: reads no bitmap, and changes nothing.
   *
   * @returns the granule at which {@link locate} begins to search for it; -1 if there is none.
   */
  find(chunk: number, length: number, align: number, populatedOnly: boolean): number {
    const { view } = this.locked
    const at = load32(view, chunk + whole + contigStart)
    const padding = ((at + align - 1) & -align) - at
    if (padding + length > load32(view, chunk + whole + contig)) return -1
    if (!this.geometry.isMapped) return this.#findContiguous(chunk, length, align)
    return length <= BLOCK
      ? this.#findInPage(chunk, length, align, populatedOnly)
      : this.#findPages(chunk, length, populatedOnly)
  }

  #findInPage(chunk: number, length: number, align: number, populatedOnly: boolean): number {
    const { geometry } = this
    const { view } = this.locked
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      if (!hasRoom(view, block, length, align)) continue
      if (populatedOnly && !this.isPopulated(chunk, page)) continue
      return page * BLOCK + searchStart(view, block, length)
    }
    return -1
  }

  #findPages(chunk: number, length: number, populatedOnly: boolean): number {
    const { geometry } = this
    const { view } = this.locked
    let run = 0
    let start = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const free = load32(view, this.#block(chunk, page) + left)
      if (run === 0) start = page
      if (free === 0 || (populatedOnly && !this.isPopulated(chunk, page))) run = 0
      else {
        if (run + free >= length) return start * BLOCK
        run = free === BLOCK ? run + BLOCK : 0
      }
    }
    return -1
  }

  #findContiguous(chunk: number, length: number, align: number): number {
    const { geometry } = this
    const { view } = this.locked
    // A run that reaches the end of the block before: its length from its aligned start, and that.
    let carry = 0
    let carryStart = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      if (carry > 0) {
        carry += load32(view, block + left)
        if (carry >= length) return carryStart
        if (load32(view, block + left) === BLOCK) continue
      }
      if (hasRoom(view, block, length, align)) return page * BLOCK + searchStart(view, block, length)
      const start = (BLOCK - load32(view, block + right) + align - 1) & -align
      carryStart = page * BLOCK + start
      carry = BLOCK - start
    }
    return -1
  }

  /**
   * The granule at which the run begins that {@link find} found; -1 if its alignment left no room
   * after all. Changes nothing.
   */
  locate(chunk: number, length: number, align: number, from: number): number {
    const { granules, isMapped, allocated } = this.geometry
    if (isMapped && length > BLOCK) return from
    const to = isMapped ? pageOf(from) * BLOCK + BLOCK : Math.min(from + length + BLOCK, granules)
    return findRun(this.locked.view, chunk + allocated, from, to, length, align)
  }

  /** Allocates a run. Returns how many populated pages were wholly free before. */
  take(chunk: number, start: number, length: number): number {
    const { geometry } = this
    const { view } = this.locked
    const stop = start + length
    let filled = 0
    mark(view, chunk + geometry.allocated, chunk + geometry.bounds, start, stop)
    store32(view, chunk + freeGranules, load32(view, chunk + freeGranules) - length)
    for (let page = pageOf(start); page * BLOCK < stop; page++) {
      const from = page * BLOCK
      const block = this.#block(chunk, page)
      if (load32(view, block + left) === BLOCK && this.isPopulated(chunk, page)) filled++
      const first = Math.max(0, start - from)
      const last = Math.min(BLOCK, stop - from)
      if (last - first === BLOCK) exhaustBlock(view, block)
      else blockTaken(view, block, chunk + geometry.allocated, from, first, last)
    }
    this.#wholeTaken(chunk, start, stop)
    return filled
  }

  /** Frees an allocation. Returns how many populated pages became wholly free. */
  release(chunk: number, start: number, length: number): number {
    const { geometry } = this
    const { view } = this.locked
    const stop = start + length
    const page = pageOf(start)
    const from = page * BLOCK
    const record = chunk + whole
    clearRange(view, chunk + geometry.allocated, start, stop)
    store32(view, chunk + freeGranules, load32(view, chunk + freeGranules) + length)
    if (start < load32(view, record + firstFree)) store32(view, record + firstFree, start)
    if (length >= BLOCK || stop > from + BLOCK) return this.#releasePages(chunk, start, stop)
    const block = this.#block(chunk, page)
    const run = blockFreed(view, block, chunk + geometry.allocated, from, start - from, stop - from)
    if (run === BLOCK) return this.#emptied(chunk, page)
    this.#considerWhole(record, from + (run >>> 12), run & 4095)
    return 0
  }

  #releasePages(chunk: number, start: number, stop: number): number {
    const { geometry } = this
    const { view } = this.locked
    let emptied = 0
    for (let page = pageOf(start); page * BLOCK < stop; page++) {
      const from = page * BLOCK
      const first = Math.max(0, start - from)
      const last = Math.min(BLOCK, stop - from)
      const block = this.#block(chunk, page)
      if (last - first === BLOCK) resetBlock(view, block)
      else if (blockFreed(view, block, chunk + geometry.allocated, from, first, last) !== BLOCK) continue
      if (this.isPopulated(chunk, page)) emptied++
    }
    this.refresh(chunk)
    return emptied
  }

  /**
   * A page became wholly free: its run goes on over those beside it that are wholly free, and into
   * the free edges of the next ones. Returns whether the page is populated, as 1 or 0.
   */
  #emptied(chunk: number, page: number): number {
    const { pages, isMapped } = this.geometry
    const { view } = this.locked
    let first = page
    while (first > 0 && this.isEmpty(chunk, first - 1)) first--
    let last = page + 1
    while (last < pages && this.isEmpty(chunk, last)) last++
    const before = first === 0 || isMapped ? 0 : load32(view, this.#block(chunk, first - 1) + right)
    const behind = last === pages ? 0 : load32(view, this.#block(chunk, last) + left)
    this.#considerWhole(chunk + whole, first * BLOCK - before, before + (last - first) * BLOCK + behind)
    return this.isPopulated(chunk, page) ? 1 : 0
  }

  #wholeTaken(chunk: number, start: number, stop: number): void {
    const { view } = this.locked
    const record = chunk + whole
    if (load32(view, record + firstFree) === start)
      store32(view, record + firstFree, this.#firstFreeFrom(chunk, start))
    const at = load32(view, record + contigStart)
    if (at < stop && start < at + load32(view, record + contig)) this.refresh(chunk)
  }

  #considerWhole(record: number, start: number, length: number): void {
    const { view } = this.locked
    const longest = load32(view, record + contig)
    const at = load32(view, record + contigStart)
    const isBetter = at !== 0 && (start === 0 || (start & -start) > (at & -at))
    if (length < longest || (length === longest && !isBetter)) return
    store32(view, record + contig, length)
    store32(view, record + contigStart, start)
  }

  /** Makes the longest run anew from the hints of the blocks. */
  refresh(chunk: number): void {
    const { geometry } = this
    const { view } = this.locked
    const record = chunk + whole
    store32(view, record + contig, 0)
    store32(view, record + contigStart, 0)
    let run = 0
    let start = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      const free = load32(view, block + left)
      if (run > 0) this.#considerWhole(record, start, run + free)
      if (free === BLOCK) {
        if (run === 0) start = page * BLOCK
        run += BLOCK
        this.#considerWhole(record, start, run)
        continue
      }
      this.#considerWhole(
        record,
        page * BLOCK + load32(view, block + contigStart),
        load32(view, block + contig),
      )
      run = geometry.isMapped ? 0 : load32(view, block + right)
      start = (page + 1) * BLOCK - run
    }
  }

  /** Makes all hints and counts anew from the bitmaps. */
  rebuild(chunk: number): void {
    const { geometry } = this
    const { view } = this.locked
    const map = chunk + geometry.allocated
    let empty = 0
    for (let page = 0; page < geometry.pages; page++) {
      rebuildBlock(view, this.#block(chunk, page), map, page * BLOCK)
      if (this.isEmpty(chunk, page) && this.isPopulated(chunk, page)) empty++
    }
    store32(view, chunk + freeGranules, geometry.granules - countSet(view, map, 0, geometry.granules))
    store32(view, chunk + PercpuChunk.words.empty, empty)
    store32(
      view,
      chunk + PercpuChunk.words.populated,
      countSet(view, chunk + geometry.populated, 0, geometry.pages),
    )
    store32(view, chunk + whole + firstFree, this.#firstFreeFrom(chunk, 0))
    this.refresh(chunk)
  }

  #firstFreeFrom(chunk: number, start: number): number {
    const { geometry } = this
    const { view } = this.locked
    for (let page = pageOf(start); page < geometry.pages; page++) {
      const first = load32(view, this.#block(chunk, page) + firstFree)
      if (first < BLOCK) return page * BLOCK + first
    }
    return geometry.granules
  }
  #firstPage(chunk: number): number {
    return pageOf(load32(this.locked.view, chunk + whole + firstFree))
  }
  #block(chunk: number, page: number): number {
    return this.geometry.block(chunk, page)
  }
}

/**
 * Granules of the allocation that begins at `start` of a chunk; 0 if none does.
 *
 * Granules below the chunk's own count as allocated, but have no bounds, so none is found there.
 */
export function lengthAt(
  view: I32View,
  chunk: number,
  { allocated, bounds }: Pick<Geometry, 'allocated' | 'bounds'>,
  start: number,
): number {
  if (!isSetInBoth(view, chunk + allocated, chunk + bounds, start)) return 0
  // Behind the chunk's own granules, too, all count as allocated; the first of them has a bound.
  if (start >= load32(view, chunk + end)) return 0
  return distanceToNext(view, chunk + bounds, start)
}

/** Whether the longest run of a block holds an aligned run of `length`. */
function hasRoom(view: I32View, block: number, length: number, align: number): boolean {
  const at = load32(view, block + contigStart)
  const padding = ((at + align - 1) & -align) - at
  return padding + length <= load32(view, block + contig)
}

/** Marks an allocation: its bits, and a bound at each end. Those between are of earlier ones. */
function mark(view: I32View, allocated: number, bounds: number, start: number, end: number): void {
  setRange(view, allocated, start, end)
  // Mutant: percpu/bounds-kept.
  clearRange(view, bounds, start + 1, end)
  setBit(view, bounds, start)
  setBit(view, bounds, end)
}
