/**
 * Where the units of mapped chunks lie: the page tables of this layer, one level, in each chunk's record.
 *
 *     record + map:   CPU 0: page, page, …   CPU 1: page, page, …        number of the page in memory, or 0
 *
 * A page is mapped before anything on it is handed out, and unmapped only when it is wholly free: the translation of an object holds as
 * long as the object lives. So whoever has it reads the entry plainly, once, and keeps what it found; there is nothing to check at each
 * use, and no other CPU to be told when pages go. (A check of a generation at each use of `local` was measured to cost five times the
 * increment itself.) After unmapping, the pages are *flushed*, all of a chunk at once and before any of them is given back;
 * here that only counts, for reports and tests. It is the place for a layer that remembers translations of pages.
 *
 * Each entry is changed in a section together with whom the page belongs to: a page is mapped and kept, or neither.
 */
import { load32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import { BLOCK, GRANULE, pageOf, type Geometry } from './geometry.js'
import { PercpuRoot } from './layouts.js'
import type { PageSource } from './pages.js'
import type { LockedMemory } from './locked-memory.js'

const { flushes } = PercpuRoot.words

export class Mapping {
  readonly #locked: LockedMemory
  readonly #memory: Memory
  readonly #geometry: Geometry
  readonly #root: number

  constructor(locked: LockedMemory, geometry: Geometry, root: number) {
    this.#locked = locked
    this.#memory = locked.memory
    this.#geometry = geometry
    this.#root = root
  }

  /** Number of the page that this page of a unit is mapped to, or 0. */
  at(chunk: number, cpu: number, page: number): number {
    return load32(this.#memory.i32, this.#entry(chunk, cpu, page))
  }

  /** Byte address of a granule of a unit; undefined if its page is not mapped. */
  translate(chunk: number, cpu: number, granule: number): number | undefined {
    const page = this.at(chunk, cpu, pageOf(granule))
    return page === 0 ? undefined : page * PAGE_BYTES + (granule & (BLOCK - 1)) * GRANULE
  }

  /** Maps a page, which the thread has in flight, at a place where none is mapped. */
  map(chunk: number, cpu: number, page: number, address: number, pages: PageSource): void {
    this.#locked.section((section) => {
      // Kept and mapped, or neither. Mutant: percpu/map-unkept.
      pages.persist(address, section)
      section.write32(this.#entry(chunk, cpu, page), address / PAGE_BYTES)
    })
  }

  /** Unmaps a page; it is in flight then. Returns its address, or undefined if none was mapped. */
  unmap(chunk: number, cpu: number, page: number, pages: PageSource): number | undefined {
    const number = this.at(chunk, cpu, page)
    if (number === 0) return undefined
    this.#locked.section((section) => {
      pages.adopt(number * PAGE_BYTES, section)
      section.write32(this.#entry(chunk, cpu, page), 0)
    })
    return number * PAGE_BYTES
  }

  /** Pages were unmapped; after it they may be given back. */
  flush(): void {
    this.#locked.add(this.#root + flushes, 1)
  }

  #entry(chunk: number, cpu: number, page: number): number {
    return chunk + this.#geometry.map + cpu * this.#geometry.pages + page
  }
}
