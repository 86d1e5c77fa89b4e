/**
 * Where the units of mapped chunks lie, by the page tables of this layer (tables.ts).
 *
 * A page is mapped before anything on it is given out, and unmapped only when it is wholly free. So
 * the translation of an object holds as long as the object lives. Whoever has a pointer walks the
 * tables without a lock, once, and keeps what it found. No use of an object checks anything, and no
 * other CPU has to be told when pages go. (A check of a generation at each use of `local` was
 * measured: it costs five times the increment itself.)
 *
 * After unmapping, the pages are flushed, all of a chunk at once, before any of them is freed, and
 * any table that led to them. So far that only counts, for reports and tests: it is the place for a
 * layer that remembers the translations of pages.
 *
 * An entry changes in one section with whom the page belongs to: a page is mapped and outlives the
 * thread, or neither.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { ENTRIES, entryOf, FLAG_BITS, frameOf, PRESENT, targetOf, WRITE } from '../pagetable/entry.js'
import { walk } from '../pagetable/walk.js'
import { clearWords } from './backend.js'
import { BLOCK, GRANULE, pageOf, type Geometry } from './geometry.js'
import { PercpuChunk, PercpuRoot } from './layouts.js'
import type { LockedMemory } from './locked-memory.js'
import type { PageSource } from './pages.js'
import { UnitTables } from './tables.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, loadAtomic32 } = mem
const target = ~(2 ** FLAG_BITS - 1)
const last = ENTRIES - 1
const { edge, flushes } = PercpuRoot.words
const { index } = PercpuChunk.words

export class Mapping {
  readonly tables: UnitTables
  readonly #locked: LockedMemory
  readonly #memory: Memory
  readonly #geometry: Geometry
  readonly #root: number
  readonly #pages: PageSource

  constructor(locked: LockedMemory, geometry: Geometry, root: number, pages: PageSource) {
    this.tables = new UnitTables(locked, root, pages)
    this.#locked = locked
    this.#memory = locked.memory
    this.#geometry = geometry
    this.#root = root
    this.#pages = pages
  }

  /** Word index of a granule of a CPU's unit; 0 if its page is not mapped. */
  #wordOf(chunk: number, cpu: number, granule: number): number {
    const leaf = walk(this.#memory.i32, this.#root + edge, this.#page(chunk, cpu, pageOf(granule)))
    return leaf === 0 ? 0 : targetOf(leaf) + (granule & (BLOCK - 1))
  }
  /** Makes granules of all units zero. They lie in one page of each, which is mapped. */
  clear(chunk: number, granule: number, count: number): void {
    const { cpus, pages } = this.#geometry
    const { i32 } = this.#memory
    const offset = granule & (BLOCK - 1)
    const page = pageOf(granule)
    let entry = 0
    for (let cpu = 0; cpu < cpus; cpu++) {
      // The entries of the CPUs stand side by side, up to the end of their table.
      entry += pages
      if (cpu === 0 || (entry & last) < pages) entry = this.tables.find(this.#page(chunk, cpu, page))
      // atomic: it does not change as long as the run is allocated.
      const word = (loadAtomic32(i32, entry) & target) + offset
      clearWords(i32, word, word + count)
    }
  }

  /** Byte address of a granule of a CPU's unit; undefined if its page is not mapped. */
  translate(chunk: number, cpu: number, granule: number): number | undefined {
    const word = this.#wordOf(chunk, cpu, granule)
    return word === 0 ? undefined : word * GRANULE
  }

  /**
   * Maps a page of the memory, by its byte address. It is in flight, and none is mapped there.
   * False if there is no memory for a table: then {@link unlinkEmpty} is to be called.
   */
  map(chunk: number, cpu: number, page: number, address: number): boolean {
    const word = this.tables.reach(this.#page(chunk, cpu, page))
    if (word === undefined) return false
    this.#locked.section((section) => {
      // Mutant: percpu/map-unkept.
      this.#pages.persist(address, section)
      section.writeAtomic32(word, entryOf(address / PAGE_BYTES, PRESENT | WRITE))
    })
    return true
  }

  /**
   * Unmaps a page, which is in flight then. Returns its byte address; undefined if none was mapped.
   */
  unmap(chunk: number, cpu: number, page: number): number | undefined {
    const word = this.tables.find(this.#page(chunk, cpu, page))
    const entry = word === 0 ? 0 : this.tables.at(word)
    if (entry === 0) return undefined
    const address = frameOf(entry) * PAGE_BYTES
    this.#locked.section((section) => {
      this.#pages.adopt(address, section)
      section.writeAtomic32(word, 0)
    })
    return address
  }
  /** Of the tables for a chunk's pages: as in UnitTables. */
  unlinkEmpty(chunk: number, unlinked: number[]): void {
    const { cpus, pages } = this.#geometry
    const first = this.#page(chunk, 0, 0)
    this.tables.unlinkEmpty(first, first + cpus * pages, unlinked)
  }

  /** To be called after pages were unmapped, and before they are freed. */
  flush(): void {
    this.#locked.add(this.#root + flushes, 1)
  }

  /** Number of a page of a unit. */
  #page(chunk: number, cpu: number, page: number): number {
    return this.#geometry.pageNumber(load32(this.#memory.i32, chunk + index), cpu, page)
  }
}
