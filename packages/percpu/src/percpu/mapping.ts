/**
 * The page tables of this layer: where the units of mapped chunks lie. One level, in each chunk's
 * record: the number of a page of the memory, or 0.
 *
 *     record + map:   CPU 0: page 0, page 1, …   CPU 1: page 0, page 1, …
 *
 * A page is mapped before anything on it is given out, and unmapped only when it is wholly free. So
 * the translation of an object holds as long as the object lives. Whoever has a pointer reads the
 * entry plainly, once, and keeps what it found. No use of an object checks anything, and no other
 * CPU has to be told when pages go. (A check of a generation at each use of `local` was measured:
 * it costs five times the increment itself.)
 *
 * After unmapping, the pages are flushed, all of a chunk at once, before any of them is freed. So
 * far that only counts, for reports and tests: it is the place for a layer that remembers the
 * translations of pages.
 *
 * An entry changes in one section with whom the page belongs to: a page is mapped and outlives the
 * thread, or neither.
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

  /** Number of the page of the memory that this page of a unit is mapped to, or 0. */
  at(chunk: number, cpu: number, page: number): number {
    return load32(this.#memory.i32, this.#entry(chunk, cpu, page))
  }

  /** Byte address of a granule of a CPU's unit; undefined if its page is not mapped. */
  translate(chunk: number, cpu: number, granule: number): number | undefined {
    const page = this.at(chunk, cpu, pageOf(granule))
    return page === 0 ? undefined : page * PAGE_BYTES + (granule & (BLOCK - 1)) * GRANULE
  }

  /** Maps a page of the memory, by its byte address. It is in flight, and none is mapped there. */
  map(chunk: number, cpu: number, page: number, address: number, pages: PageSource): void {
    this.#locked.section((section) => {
      // Mutant: percpu/map-unkept.
      pages.persist(address, section)
      section.write32(this.#entry(chunk, cpu, page), address / PAGE_BYTES)
    })
  }

  /**
   * Unmaps a page, which is in flight then. Returns its byte address; undefined if none was mapped.
   */
  unmap(chunk: number, cpu: number, page: number, pages: PageSource): number | undefined {
    const number = this.at(chunk, cpu, page)
    if (number === 0) return undefined
    this.#locked.section((section) => {
      pages.adopt(number * PAGE_BYTES, section)
      section.write32(this.#entry(chunk, cpu, page), 0)
    })
    return number * PAGE_BYTES
  }

  /** To be called after pages were unmapped, and before they are freed. */
  flush(): void {
    this.#locked.add(this.#root + flushes, 1)
  }

  #entry(chunk: number, cpu: number, page: number): number {
    return chunk + this.#geometry.map + cpu * this.#geometry.pages + page
  }
}
