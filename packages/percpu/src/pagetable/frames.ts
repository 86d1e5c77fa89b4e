/**
 * Who holds which page: how many entries of tables, and edges of roots, lead to it.
 *
 *     refs[page]     entries that lead to this page: as a page of its own, or as a table
 *     blocks[page/1024]  huge entries that lead to this block of 1024 pages, above BLOCK_BITS,
 *                        and how many of its pages others lead to; 0 if it is no such block
 *
 *     refs[p] > 1, or huge entries that lead to p's block   ⇔   p is shared
 *     all refs of a block 0, and no huge entries            ⇔   the block is free
 *
 * A page is shared after a fork: it is copied before anybody writes to it. All of it is read and
 * written under the lock, and written through the log of the change.
 */
import { load32, type Memory } from '#mem'
import type { PageAllocator } from '../alloc/pages.js'
import { PAGE_BYTES } from '../arithmetic.js'
import { ENTRIES, frameOf, HUGE } from './entry.js'
import { PagingRoot } from './layouts.js'
import type { RedoLog } from './redo-log.js'

const BLOCK_BITS = 11
const HUGE_ENTRY = 1 << BLOCK_BITS
const LIVE = HUGE_ENTRY - 1
/** Order of a block of 1024 pages. */
export const BLOCK_ORDER = 10

/** Bytes of the counts of a machine with so many pages. */
export function countBytes(pages: number): number {
  return (pages + Math.ceil(pages / ENTRIES)) * 4
}

export class Frames {
  readonly #memory: Memory
  readonly #refs: number
  readonly #blocks: number

  /** `root`: word index of the PagingRoot of a machine with so many pages. */
  constructor(memory: Memory, root: number, pages: number) {
    this.#memory = memory
    this.#refs = root + PagingRoot.stride / 4
    this.#blocks = this.#refs + pages
  }

  /** Whether others than this entry lead to what it leads to. */
  isShared(entry: number): boolean {
    const frame = frameOf(entry)
    const block = this.blockOf(frame)
    if ((entry & HUGE) !== 0) return block !== HUGE_ENTRY
    return this.refsOf(frame) > 1 || block >= HUGE_ENTRY
  }
  refsOf(frame: number): number {
    return load32(this.#memory.i32, this.#refs + frame)
  }
  /** The word of the block in which a page lies. */
  blockOf(frame: number): number {
    return load32(this.#memory.i32, this.#blocks + (frame >>> 10))
  }
  /** Huge entries that lead to the block of a page, and its pages that others lead to. */
  countsAt(frame: number): { readonly huge: number; readonly live: number } {
    const block = this.blockOf(frame)
    return { huge: block >>> BLOCK_BITS, live: block & LIVE }
  }

  /** A page, or a block, that nobody held: from the commit on one entry leads to it. */
  take(log: RedoLog, pages: PageAllocator, frame: number, isHuge: boolean): void {
    if (isHuge) log.update(this.#blocks + (frame >>> 10), HUGE_ENTRY)
    else log.write32(this.#refs + frame, 1)
    pages.persist(frame * PAGE_BYTES, log)
  }
  /** One more entry leads to what `entry` does. Each page at most once in one change. */
  share(log: RedoLog, entry: number): void {
    const frame = frameOf(entry)
    if ((entry & HUGE) !== 0) {
      const word = this.#blocks + (frame >>> 10)
      log.update(word, log.read(word) + HUGE_ENTRY)
      return
    }
    log.write32(this.#refs + frame, this.refsOf(frame) + 1)
  }
  /**
   * The opposite. Returns the order of what is in flight from the commit on, to be freed by its
   * first page; undefined if others hold it. `first` is the page at which it begins.
   */
  release(log: RedoLog, pages: PageAllocator, entry: number): { order: number; first: number } | undefined {
    const frame = frameOf(entry)
    const word = this.#blocks + (frame >>> 10)
    const block = log.read(word)
    let rest = block - HUGE_ENTRY
    if ((entry & HUGE) === 0) {
      const refs = log.read(this.#refs + frame) - 1
      log.update(this.#refs + frame, refs)
      if (refs > 0) return undefined
      if (block === 0) {
        pages.adopt(frame * PAGE_BYTES, log)
        return { order: 0, first: frame }
      }
      rest = block - 1
    }
    log.update(word, rest)
    if (rest !== 0) return undefined
    const first = frame & -ENTRIES
    pages.adopt(first * PAGE_BYTES, log)
    return { order: BLOCK_ORDER, first }
  }

  /** A huge entry becomes 1024 entries, one for each page of its block. */
  split(log: RedoLog, entry: number): void {
    const first = frameOf(entry)
    const word = this.#blocks + (first >>> 10)
    for (let page = first; page < first + ENTRIES; page++)
      log.write32(this.#refs + page, this.refsOf(page) + 1)
    log.update(word, ((log.read(word) & ~LIVE) | ENTRIES) - HUGE_ENTRY)
  }
  /** The opposite, of a block all of whose pages one table alone leads to. */
  join(log: RedoLog, first: number): void {
    for (let page = first; page < first + ENTRIES; page++) log.write32(this.#refs + page, 0)
    log.update(this.#blocks + (first >>> 10), HUGE_ENTRY)
  }
  /** Whether the block at `first` has 1024 pages each of which one entry alone leads to. */
  isSplitWhole(first: number): boolean {
    if (this.blockOf(first) !== ENTRIES) return false
    for (let page = first; page < first + ENTRIES; page++) if (this.refsOf(page) !== 1) return false
    return true
  }
}
