/**
 * The page tables of mapped units (pagetable/entry.ts): one tree for all chunks, whose edge lies in
 * the root of this layer.
 *
 *     page number   (index of the chunk × CPUs + CPU) × pages of a unit + page
 *
 * That is below 2^29: there are 2^31 pointers, so 2^21 / pages of a unit chunks, and 256 CPUs.
 *
 * A table comes with the first page that is mapped through it, and goes with the last one. Those of
 * the first chunk are boot memory, and stay. All changes are made under the lock of the allocator,
 * each in one section with whom the table belongs to. So a table is linked and outlives the thread,
 * or neither. Whoever walks has a pointer to what lies there, so its tables stay.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import {
  ENTRIES,
  entryOf,
  indexOf,
  PAGE_LEVEL,
  PRESENT,
  ROOT_LEVEL,
  spanOf,
  targetOf,
  WRITE,
} from '../pagetable/entry.js'
import { PercpuRoot } from './layouts.js'
import type { LockedMemory } from './locked-memory.js'
import type { PageSource } from './pages.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { edge, tables } = PercpuRoot.words

/** An entry of a table, or the edge of the root. */
export interface Located {
  readonly entry: number
  /** Level of the table that it leads to; PAGE_LEVEL: it leads to a page. */
  readonly level: number
  /** First page number that it is for. */
  readonly page: number
}

/** Tables for the pages below a number. */
export function tablesFor(pages: number): number {
  let count = 0
  for (let level = ROOT_LEVEL; level > PAGE_LEVEL; level--) count += Math.ceil(pages / spanOf(level + 1))
  return count
}

export class UnitTables {
  readonly #locked: LockedMemory
  readonly #memory: Memory
  /** Word indices: of the edge, and of the number of tables. */
  readonly #edge: number
  readonly #count: number
  readonly #pages: PageSource

  /** `root`: word index of the PercpuRoot. */
  constructor(locked: LockedMemory, root: number, pages: PageSource) {
    this.#locked = locked
    this.#memory = locked.memory
    this.#edge = root + edge
    this.#count = root + tables
    this.#pages = pages
  }

  /**
   * Word index of the entry of a page, whose tables are made. Undefined if there is no memory for
   * them: then {@link unlinkEmpty} is to be called.
   */
  reach(page: number): number | undefined {
    let word = this.#edge
    for (let level = ROOT_LEVEL; level > PAGE_LEVEL; level--) {
      const entry = this.at(word) || this.#link(word)
      if (entry === 0) return undefined
      word = targetOf(entry) + indexOf(page, level)
    }
    return word
  }
  /** Word index of the entry of a page; 0 if there is no table for it. */
  find(page: number): number {
    let word = this.#edge
    for (let level = ROOT_LEVEL; level > PAGE_LEVEL; level--) {
      const entry = this.at(word)
      if (entry === 0) return 0
      word = targetOf(entry) + indexOf(page, level)
    }
    return word
  }
  /** The entry at a word index. The lock is held, or this CPU has a pointer to what lies there. */
  at(word: number): number {
    // atomic: nobody else changes it meanwhile.
    return loadAtomic32(this.#memory.i32, word)
  }

  /** Makes a table, and returns the entry that leads to it; 0 if there is no memory. */
  #link(word: number): number {
    const address = this.#pages.tryAlloc(0, { zero: true })
    if (address === undefined) return 0
    const entry = entryOf(address / PAGE_BYTES, PRESENT | WRITE)
    let isLinked = false
    try {
      this.#locked.section((section) => {
        // Mutant: percpu/table-unkept.
        this.#pages.persist(address, section)
        section.writeAtomic32(word, entry)
        section.write32(this.#count, this.count + 1)
      })
      isLinked = true
    } finally {
      if (!isLinked) this.#pages.free(address, 0)
    }
    return entry
  }

  /**
   * Unlinks those tables for pages [from, to) that lead nowhere. They are in flight then; adds
   * their byte addresses to `unlinked`.
   */
  unlinkEmpty(from: number, to: number, unlinked: number[]): void {
    this.#unlinkEmpty(this.#edge, ROOT_LEVEL, 0, from, to, unlinked)
  }
  #unlinkEmpty(
    word: number,
    level: number,
    first: number,
    from: number,
    to: number,
    unlinked: number[],
  ): void {
    const entry = this.at(word)
    if (entry === 0) return
    const table = targetOf(entry)
    const span = spanOf(level)
    const low = Math.max(0, Math.floor((from - first) / span))
    const high = Math.min(ENTRIES - 1, Math.floor((to - 1 - first) / span))
    for (let index = low; level > 0 && index <= high; index++)
      this.#unlinkEmpty(table + index, level - 1, first + index * span, from, to, unlinked)
    if (!this.isEmpty(table)) return
    this.#locked.section((section) => {
      this.#pages.adopt(table * 4, section)
      section.writeAtomic32(word, 0)
      section.write32(this.#count, this.count - 1)
    })
    unlinked.push(table * 4)
  }
  /** Whether a table leads nowhere. */
  isEmpty(table: number): boolean {
    for (let index = 0; index < ENTRIES; index++) if (this.at(table + index) !== 0) return false
    return true
  }

  /** The edge and all entries, those that are not 0; each before those below it. */
  *entries(): Generator<Located> {
    if (this.at(this.#edge) !== 0) yield* this.#entries(this.#edge, ROOT_LEVEL, 0)
  }
  *#entries(word: number, level: number, page: number): Generator<Located> {
    const entry = this.at(word)
    yield { entry, level, page }
    if (level === PAGE_LEVEL) return
    for (let index = 0; index < ENTRIES; index++) {
      const word = targetOf(entry) + index
      if (this.at(word) !== 0) yield* this.#entries(word, level - 1, page + index * spanOf(level))
    }
  }

  /** How many tables there are. */
  get count(): number {
    return this.#locked.get(this.#count)
  }
}
