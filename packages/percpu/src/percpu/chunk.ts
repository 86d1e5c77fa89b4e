/**
 * The runs of one chunk: finding one, taking it, giving it back. (After the kernel's pcpu_find_block_fit, pcpu_alloc_area and
 * pcpu_free_area.)
 *
 * Where units are mapped page by page, an object of up to a page lies inside one page, and a larger one begins at one: JavaScript
 * reaches an object through views, which know nothing of page tables. Then a run for up to a page is one of a block, and a
 * longer one is a row of free blocks; where a chunk is one piece of memory, runs go on from block to block.
 *
 * `whole`, the record of the chunk, has the longest run (never too long; after frees up to a page too short at either end where runs cross
 * pages), the first free granule, and no scan: it is made anew from the blocks.
 */
import { clearRange, countSet, findRun, isSet, nextSet, setBit, setRange } from './bitmap.js'
import { BLOCK, BLOCK_WORDS, type Geometry } from './geometry.js'
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
import type { Words } from './words.js'

const { whole, freeGranules, end } = PercpuChunk.words

/** What a change did to pages: how many populated ones became wholly free, or ceased to be. */
export type Emptied = number

export class Chunks {
  readonly words: Words
  readonly geometry: Geometry

  constructor(words: Words, geometry: Geometry) {
    this.words = words
    this.geometry = geometry
  }

  isPopulated(chunk: number, page: number): boolean {
    return isSet(this.words, chunk + this.geometry.populated, page)
  }
  areAllPopulated(chunk: number, start: number, length: number): boolean {
    const { geometry, words } = this
    if (!geometry.isMapped) return true
    const from = (start / BLOCK) | 0
    const to = ((start + length - 1) / BLOCK) | 0
    for (let page = from; page <= to; page++)
      if (!isSet(words, chunk + geometry.populated, page)) return false
    return true
  }
  /** Whether page `page` is wholly free. */
  isEmpty(chunk: number, page: number): boolean {
    return this.words.get(this.#block(chunk, page) + left) === BLOCK
  }

  /** A run that fits: where its search begins; -1 if there is none. Reads only. */
  find(chunk: number, length: number, align: number, populatedOnly: boolean): number {
    const { words } = this
    const at = words.get(chunk + whole + contigStart)
    const padding = ((at + align - 1) & -align) - at
    if (padding + length > words.get(chunk + whole + contig)) return -1
    if (!this.geometry.isMapped) return this.#findContiguous(chunk, length, align)
    return length <= BLOCK
      ? this.#findInPage(chunk, length, align, populatedOnly)
      : this.#findPages(chunk, length, populatedOnly)
  }

  #findInPage(chunk: number, length: number, align: number, populatedOnly: boolean): number {
    const { words, geometry } = this
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      if (!hasRoom(words, block, length, align)) continue
      if (populatedOnly && !this.isPopulated(chunk, page)) continue
      return page * BLOCK + searchStart(words, block, length)
    }
    return -1
  }

  #findPages(chunk: number, length: number, populatedOnly: boolean): number {
    const { words, geometry } = this
    let run = 0
    let start = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const free = words.get(this.#block(chunk, page) + left)
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
    const { words, geometry } = this
    // A run that reaches the end of the block before: its aligned start, and length from there.
    let carry = 0
    let carryStart = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      if (carry > 0) {
        carry += words.get(block + left)
        if (carry >= length) return carryStart
        if (words.get(block + left) === BLOCK) continue
      }
      if (hasRoom(words, block, length, align)) return page * BLOCK + searchStart(words, block, length)
      const start = (BLOCK - words.get(block + right) + align - 1) & -align
      carryStart = page * BLOCK + start
      carry = BLOCK - start
    }
    return -1
  }

  /** Where exactly the run lies whose search begins at `from`; -1 if its alignment left no room after all. Reads only. */
  locate(chunk: number, length: number, align: number, from: number): number {
    const { granules, isMapped, allocated } = this.geometry
    if (isMapped && length > BLOCK) return from
    const to = isMapped ? ((from / BLOCK) | 0) * BLOCK + BLOCK : Math.min(from + length + BLOCK, granules)
    return findRun(this.words, chunk + allocated, from, to, length, align)
  }

  /** Takes granules that are free. Returns how many populated pages were wholly free before. */
  take(chunk: number, start: number, length: number): Emptied {
    const { words, geometry } = this
    const stop = start + length
    let filled = 0
    mark(words, chunk + geometry.allocated, chunk + geometry.bounds, start, stop)
    words.put(chunk + freeGranules, words.get(chunk + freeGranules) - length)
    for (let page = (start / BLOCK) | 0; page * BLOCK < stop; page++) {
      const from = page * BLOCK
      const block = this.#block(chunk, page)
      if (words.get(block + left) === BLOCK && this.isPopulated(chunk, page)) filled++
      const first = Math.max(0, start - from)
      const last = Math.min(BLOCK, stop - from)
      if (last - first === BLOCK) exhaustBlock(words, block)
      else blockTaken(words, block, chunk + geometry.allocated, from, first, last)
    }
    this.#wholeTaken(chunk, start, stop)
    return filled
  }

  /** Length of the allocation that begins at `start`; 0 if none does. */
  lengthAt(chunk: number, start: number): number {
    const { words, geometry } = this
    if (start < words.get(chunk + PercpuChunk.words.start) || start >= words.get(chunk + end)) return 0
    if (!isSet(words, chunk + geometry.allocated, start) || !isSet(words, chunk + geometry.bounds, start))
      return 0
    return nextSet(words, chunk + geometry.bounds, start + 1, geometry.granules + 1) - start
  }

  /** Frees an allocation. Returns how many populated pages are wholly free now that were not. */
  release(chunk: number, start: number, length: number): Emptied {
    const { words, geometry } = this
    const stop = start + length
    clearRange(words, chunk + geometry.allocated, start, stop)
    words.put(chunk + freeGranules, words.get(chunk + freeGranules) + length)
    let emptied = 0
    let run = 0
    let isWhole = false
    const firstPage = (start / BLOCK) | 0
    for (let page = firstPage; page * BLOCK < stop; page++) {
      const from = page * BLOCK
      const first = Math.max(0, start - from)
      const last = Math.min(BLOCK, stop - from)
      run = this.#releaseIn(chunk, page, first, last)
      if (run !== BLOCK) continue
      isWhole = true
      if (this.isPopulated(chunk, page)) emptied++
    }
    const isLocal = !isWhole && stop <= (firstPage + 1) * BLOCK
    this.#wholeFreed(chunk, start, isLocal ? firstPage * BLOCK + Math.floor(run / 4096) : -1, run % 4096)
    return emptied
  }

  #releaseIn(chunk: number, page: number, first: number, last: number): number {
    const { words, geometry } = this
    const block = this.#block(chunk, page)
    if (last - first < BLOCK)
      return blockFreed(words, block, chunk + geometry.allocated, page * BLOCK, first, last)
    resetBlock(words, block)
    return BLOCK
  }

  #wholeTaken(chunk: number, start: number, stop: number): void {
    const { words } = this
    const record = chunk + whole
    if (words.get(record + firstFree) === start)
      words.put(record + firstFree, this.#firstFreeFrom(chunk, start))
    const at = words.get(record + contigStart)
    if (at < stop && start < at + words.get(record + contig)) this.refresh(chunk)
  }

  #wholeFreed(chunk: number, start: number, runStart: number, runLength: number): void {
    const { words } = this
    const record = chunk + whole
    if (start < words.get(record + firstFree)) words.put(record + firstFree, start)
    if (runStart < 0) this.refresh(chunk)
    else this.#considerWhole(record, runStart, runLength)
  }

  #considerWhole(record: number, start: number, length: number): void {
    const { words } = this
    const longest = words.get(record + contig)
    const at = words.get(record + contigStart)
    const isBetter = at !== 0 && (start === 0 || (start & -start) > (at & -at))
    if (length < longest || (length === longest && !isBetter)) return
    words.put(record + contig, length)
    words.put(record + contigStart, start)
  }

  /** Makes the longest run anew from the blocks. */
  refresh(chunk: number): void {
    const { words, geometry } = this
    const record = chunk + whole
    words.put(record + contig, 0)
    words.put(record + contigStart, 0)
    let run = 0
    let start = 0
    for (let page = this.#firstPage(chunk); page < geometry.pages; page++) {
      const block = this.#block(chunk, page)
      const free = words.get(block + left)
      if (run > 0) this.#considerWhole(record, start, run + free)
      if (free === BLOCK) {
        if (run === 0) start = page * BLOCK
        run += BLOCK
        this.#considerWhole(record, start, run)
        continue
      }
      this.#considerWhole(record, page * BLOCK + words.get(block + contigStart), words.get(block + contig))
      run = geometry.isMapped ? 0 : words.get(block + right)
      start = (page + 1) * BLOCK - run
    }
  }

  /** Everything that can be told from the bitmaps alone. */
  rebuild(chunk: number): void {
    const { words, geometry } = this
    const map = chunk + geometry.allocated
    let empty = 0
    for (let page = 0; page < geometry.pages; page++) {
      rebuildBlock(words, this.#block(chunk, page), map, page * BLOCK)
      if (this.isEmpty(chunk, page) && this.isPopulated(chunk, page)) empty++
    }
    words.put(chunk + freeGranules, geometry.granules - countSet(words, map, 0, geometry.granules))
    words.put(chunk + PercpuChunk.words.empty, empty)
    words.put(
      chunk + PercpuChunk.words.populated,
      countSet(words, chunk + geometry.populated, 0, geometry.pages),
    )
    words.put(chunk + whole + firstFree, this.#firstFreeFrom(chunk, 0))
    this.refresh(chunk)
  }

  #firstFreeFrom(chunk: number, start: number): number {
    const { words, geometry } = this
    for (let page = (start / BLOCK) | 0; page < geometry.pages; page++) {
      const first = words.get(this.#block(chunk, page) + firstFree)
      if (first < BLOCK) return page * BLOCK + first
    }
    return geometry.granules
  }
  #firstPage(chunk: number): number {
    return (this.words.get(chunk + whole + firstFree) / BLOCK) | 0
  }
  #block(chunk: number, page: number): number {
    return chunk + this.geometry.blocks + page * BLOCK_WORDS
  }
}

function hasRoom(words: Words, block: number, length: number, align: number): boolean {
  const at = words.get(block + contigStart)
  const padding = ((at + align - 1) & -align) - at
  return padding + length <= words.get(block + contig)
}

/** Marks an allocation: its bits, and its bounds; what an earlier one left between them goes. */
function mark(words: Words, allocated: number, bounds: number, start: number, end: number): void {
  setRange(words, allocated, start, end)
  // Mutant: percpu/bounds-kept.
  clearRange(words, bounds, start + 1, end)
  setBit(words, bounds, start)
  setBit(words, bounds, end)
}
