/**
 * Changes of the tables of a space, under the lock. Each changes what is there in one commit of the
 * log, or by one store. A thread that is killed in between leaves less done, and nothing half-done.
 *
 *     what is shared is copied before it is written: a page, or a table whose entries change
 *     the copy is in its place ──▶ counted walks end ──▶ the space holds the old one no more
 *
 * A copy of a table leads to all that the other one leads to, so that is shared from then on. The
 * entries of the copy have no WRITE, and those of the other one mean nothing: nobody writes through
 * a table that is shared.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { PageAllocator } from '../alloc/pages.js'
import { PAGE_BYTES } from '../arithmetic.js'
import {
  ACCESSED,
  DIRTY,
  ENTRIES,
  entryOf,
  flagsOf,
  frameOf,
  HUGE,
  indexOf,
  PAGE_LEVEL,
  PRESENT,
  ROOT_LEVEL,
  spanOf,
  targetOf,
  WRITE,
} from './entry.js'
import { BLOCK_ORDER, type Frames } from './frames.js'
import type { RedoLog } from './redo-log.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32, storeAtomic32 } = mem
const WRITTEN = PRESENT | WRITE | DIRTY | ACCESSED

export interface TablesParts {
  readonly memory: Memory
  readonly frames: Frames
  readonly log: RedoLog
  readonly pages: PageAllocator
}

/** What becomes of tables and pages that a space does not lead to any more: a copy does. */
export interface Replacing {
  /** Notes that what an entry leads to is replaced by what another one does. */
  push(word: number, entry: number, level: number, by: number): void
  /**
   * Gives up the last so many, once nobody walks there any more. `edge`: that of the space.
   *
   * @throws LockTimeoutError. They are given up later then.
   */
  release(edge: number, count: number): void
}

export class Tables {
  readonly #replacing: Replacing
  /** How many were replaced by the call that is under way. */
  #replaced = 0
  readonly #memory: Memory
  readonly #frames: Frames
  readonly #log: RedoLog
  readonly #pages: PageAllocator

  constructor({ memory, frames, log, pages }: TablesParts, replacing: Replacing) {
    this.#replacing = replacing
    this.#memory = memory
    this.#frames = frames
    this.#log = log
    this.#pages = pages
  }

  /** The entry at a word index. */
  at(word: number): number {
    // atomic: nobody else writes entries while this CPU has the lock.
    return loadAtomic32(this.#memory.i32, word)
  }

  /**
   * Lets a page of a space be written to, and returns its leaf. What is missing is made, what is
   * shared is copied. `edge`: word index of the edge of the root.
   *
   * @throws OutOfMemoryError; LockTimeoutError. Nothing that anybody reads has changed then.
   */
  write(edge: number, page: number): number {
    return this.#replacingIn(edge, () => {
      let word = edge
      let level = ROOT_LEVEL
      for (;;) {
        const entry = this.#allow(word, level)
        if (level === PAGE_LEVEL || (entry & HUGE) !== 0) return entry
        word = targetOf(entry) + indexOf(page, level)
        level--
      }
    })
  }
  /**
   * Word index of the entry of level 1 of a page, whose path is made, of this space alone, and has
   * WRITE.
   *
   * @throws as {@link write}.
   */
  reach(edge: number, page: number): number {
    return this.#replacingIn(edge, () => {
      let word = edge
      for (let level = ROOT_LEVEL; level > 0; level--)
        word = targetOf(this.#allow(word, level)) + indexOf(page, level)
      return word
    })
  }
  /** Gives up what `change` of a space has replaced. */
  #replacingIn<Result>(edge: number, change: () => Result): Result {
    try {
      return change()
    } finally {
      const count = this.#replaced
      this.#replaced = 0
      if (count > 0) this.#replacing.release(edge, count)
    }
  }
  /** Lets what an entry leads to be written to, and returns the entry. */
  #allow(word: number, level: number): number {
    const entry = this.at(word)
    if ((entry & PRESENT) === 0) return this.#fill(word, level)
    const isLeaf = level === PAGE_LEVEL || (entry & HUGE) !== 0
    if ((entry & WRITE) !== 0) return isLeaf ? this.#mark(word, entry, WRITTEN) : entry
    if (!this.#frames.isShared(entry)) {
      if (!isLeaf) this.#disallow(targetOf(entry))
      return this.#mark(word, entry, isLeaf ? WRITTEN : WRITE)
    }
    if (!isLeaf || level === PAGE_LEVEL) return this.#copy(word, entry, level)
    this.split(word)
    return this.#allow(word, level)
  }

  /** The leaf of a page that is there was read. Returns it. */
  read(edge: number, page: number): number {
    let word = edge
    for (let level = ROOT_LEVEL; ; level--) {
      const entry = this.at(word)
      if ((entry & PRESENT) === 0) return 0
      if (level === PAGE_LEVEL || (entry & HUGE) !== 0) return this.#mark(word, entry, ACCESSED)
      word = targetOf(entry) + indexOf(page, level)
    }
  }
  /** Word index of the entry of level 1 of a page; 0 if there is no table for it. */
  middle(edge: number, page: number): number {
    let word = edge
    for (let level = ROOT_LEVEL; level > 0; level--) {
      const entry = this.at(word)
      if ((entry & PRESENT) === 0) return 0
      word = targetOf(entry) + indexOf(page, level)
    }
    return word
  }

  /** What is written to from now on waits for {@link write}. A single store. */
  protect(word: number): void {
    const entry = this.at(word)
    // T(table.entry) takes WRITE away; pairs with B in walk: after a round nobody writes. Mutant:
    // pagetable/protect-nothing.
    if ((entry & WRITE) !== 0) storeAtomic32(this.#memory.i32, word, entry & ~WRITE)
  }

  /**
   * Makes the tables of this space alone that {@link unmap} of the pages [from, to) has to change.
   *
   * @throws as {@link write}.
   */
  prepare(edge: number, from: number, to: number): void {
    this.#replacingIn(edge, () => this.#prepare(edge, ROOT_LEVEL, 0, from, to))
  }
  #prepare(word: number, level: number, first: number, from: number, to: number): void {
    const span = spanOf(level + 1)
    let entry = this.at(word)
    const isOutside = to <= first || from >= first + span
    const isWhole = from <= first && to >= first + span
    if (level === PAGE_LEVEL || isOutside || isWhole || (entry & PRESENT) === 0) return
    if ((entry & HUGE) !== 0) {
      this.split(word)
      return
    }
    if (this.#frames.isShared(entry)) entry = this.#copy(word, entry, level)
    const below = spanOf(level)
    const ends = new Set([Math.max(from, first), Math.min(to, first + span) - 1])
    for (const end of ends) {
      const index = Math.floor((end - first) / below)
      this.#prepare(targetOf(entry) + index, level - 1, first + index * below, from, to)
    }
  }

  /** A huge entry becomes a table of 1024. @throws as {@link write}. */
  split(word: number): void {
    const entry = this.at(word)
    const frame = this.#take(0, false)
    const { i32 } = this.#memory
    const flags = PRESENT | (flagsOf(entry) & (WRITE | DIRTY | ACCESSED))
    const leaves = this.#frames.isShared(entry) ? flags & ~WRITE : flags
    for (let index = 0; index < ENTRIES; index++) {
      // atomic: nobody knows the table yet.
      storeAtomic32(i32, frame * ENTRIES + index, entryOf(frameOf(entry) + index, leaves))
    }
    this.#publish(frame, () => {
      this.#frames.take(this.#log, this.#pages, frame, false)
      this.#frames.split(this.#log, entry)
      this.#log.writeAtomic32(word, entryOf(frame, PRESENT | (flagsOf(entry) & WRITE)))
    })
  }

  /** A block of 1024 pages that are zero, at an entry that is not there. False if there is none. */
  fillHuge(word: number): boolean {
    const address = this.#pages.tryAlloc(BLOCK_ORDER, { zero: true })
    if (address === undefined) return false
    this.#linkHuge(word, address / PAGE_BYTES)
    return true
  }
  #linkHuge(word: number, frame: number): void {
    this.#publish(
      frame,
      () => {
        this.#frames.take(this.#log, this.#pages, frame, true)
        this.#log.writeAtomic32(word, entryOf(frame, WRITTEN | HUGE))
      },
      BLOCK_ORDER,
    )
  }

  /** Makes a table or a page that is zero. */
  #fill(word: number, level: number): number {
    const frame = this.#take(0, true)
    const entry = entryOf(frame, level === PAGE_LEVEL ? WRITTEN : PRESENT | WRITE)
    this.#publish(frame, () => {
      this.#frames.take(this.#log, this.#pages, frame, false)
      this.#log.writeAtomic32(word, entry)
    })
    return entry
  }

  /** A table or a page of this space alone, in place of one that is shared. */
  #copy(word: number, entry: number, level: number): number {
    const frame = this.#take(0, false)
    const copy = entryOf(frame, level === PAGE_LEVEL ? WRITTEN : PRESENT | WRITE)
    if (level === PAGE_LEVEL) this.#copyPage(targetOf(entry), targetOf(copy))
    this.#publish(frame, () => {
      if (level !== PAGE_LEVEL) this.#copyTable(targetOf(entry), targetOf(copy))
      this.#frames.take(this.#log, this.#pages, frame, false)
      // Mutant: pagetable/copied-unlinked.
      this.#replacing.push(word, entry, level, copy)
    })
    this.#replaced++
    return copy
  }
  #copyPage(from: number, to: number): void {
    const { i32 } = this.#memory
    for (let word = 0; word < PAGE_BYTES / 4; word++) store32(i32, to + word, load32(i32, from + word))
  }
  #copyTable(from: number, to: number): void {
    const { i32 } = this.#memory
    for (let index = 0; index < ENTRIES; index++) {
      const entry = this.at(from + index)
      // atomic: nobody knows the table yet.
      storeAtomic32(i32, to + index, entry & ~WRITE)
      // Mutant: pagetable/copy-unshared.
      if ((entry & PRESENT) !== 0) this.#frames.share(this.#log, entry)
    }
  }

  /** Takes WRITE from all entries of a table through which nobody writes. */
  #disallow(table: number): void {
    // Mutant: pagetable/write-kept.
    for (let index = 0; index < ENTRIES; index++) this.protect(table + index)
  }
  #mark(word: number, entry: number, flags: number): number {
    const marked = entry | flags
    // E(table.entry) allows what the flags say; pairs with B in walk: entries below that have WRITE
    // may be relied upon. Mutant: pagetable/write-kept.
    if (marked !== entry) storeAtomic32(this.#memory.i32, word, marked)
    return marked
  }

  /** Number of a page, or of the first of a block, in flight. */
  #take(order: number, zero: boolean): number {
    return this.#pages.alloc(order, { zero }) / PAGE_BYTES
  }
  /** Commits what `note` notes. What it throws gives the page back. */
  #publish(frame: number, note: () => void, order = 0): void {
    try {
      note()
    } catch (error) {
      this.#pages.free(frame * PAGE_BYTES, order)
      throw error
    }
    this.#log.commit()
  }
}
