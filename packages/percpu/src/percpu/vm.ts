/**
 * Chunks of units that are mapped page by page: each page lies on its CPU's node, if there is room.
 *
 *     populate         1. allocate a page for each CPU and page of the unit
 *                      2. map them, CPU by CPU; tables are made as they are needed
 *                      either fails: unmap what was mapped, flush, free all pages
 *     unmap, release   unmap all, unlink tables that lead nowhere, flush once, free all
 *
 * A thread killed in the middle leaves pages mapped that are not populated, and tables that lead
 * nowhere; operation.ts unmaps them. Pages that are not linked are in flight, and end with the
 * thread.
 */
import { PAGE_BYTES } from '../arithmetic.js'
import type { Backend, BackendParts } from './backend.js'
import type { Geometry } from './geometry.js'
import type { Mapping } from './mapping.js'
import type { UnitTables } from './tables.js'

export class MappedBackend implements Backend {
  readonly name = 'vm'
  readonly populatedAtOnce = false
  readonly tables: UnitTables
  readonly #geometry: Geometry
  readonly #mapping: Mapping
  readonly #parts: BackendParts
  /** @internal For tests: called before each mapping of a page, which fails if it throws. */
  beforeMap: (() => void) | undefined

  constructor(geometry: Geometry, mapping: Mapping, parts: BackendParts) {
    this.#geometry = geometry
    this.#mapping = mapping
    this.tables = mapping.tables
    this.#parts = parts
  }

  place(chunk: number, units: readonly number[]): void {
    units.forEach((address, cpu) => {
      for (let page = 0; page < this.#geometry.pages; page++)
        this.#mapping.map(chunk, cpu, page, address + page * PAGE_BYTES)
    })
  }
  create(): boolean {
    return true
  }
  persist(): void {
    // A chunk is its record, and the pages that are mapped.
  }
  adopt(): void {
    // As above.
  }
  destroy(): void {
    // As above.
  }

  populate(chunk: number, from: number, to: number): boolean {
    const count = (to - from) * this.#geometry.cpus
    const taken: number[] = []
    let mapped = 0
    try {
      if (this.#take(count, taken, to - from)) {
        for (; mapped < count; mapped++) {
          this.beforeMap?.()
          if (!this.#map(chunk, from, to, mapped, taken[mapped] ?? 0)) break
        }
      }
    } finally {
      // Once, whatever fails: a page that is free may be another thread's. Mutant:
      // percpu/unwind-twice.
      if (mapped < count) this.#unwind(chunk, from, to, taken.slice(mapped))
    }
    return mapped === count
  }

  /**
   * `rest`: pages that were allocated, but not mapped. If freeing one fails, the others stay in
   * flight until this CPU goes.
   */
  #unwind(chunk: number, from: number, to: number, rest: readonly number[]): void {
    const unmapped: number[] = []
    // Mapped pages first, with a flush. Mutant: percpu/unwind-forgets-mapped.
    this.unmap(chunk, from, to, unmapped)
    this.release(unmapped)
    for (const address of rest) this.#parts.pages.free(address, 0)
  }

  /** Allocates `each` pages for each CPU, CPU by CPU. False if memory ran out. */
  #take(count: number, taken: number[], each: number): boolean {
    const { pages, nodes } = this.#parts
    while (taken.length < count) {
      const address = pages.tryAlloc(0, { node: nodes[Math.floor(taken.length / each)] ?? 0 })
      if (address === undefined) return false
      taken.push(address)
    }
    return true
  }

  #map(chunk: number, from: number, to: number, number: number, address: number): boolean {
    const each = to - from
    const cpu = Math.floor(number / each)
    return this.#mapping.map(chunk, cpu, from + (number % each), address)
  }

  unmap(chunk: number, from: number, to: number, unmapped: number[]): void {
    for (let cpu = 0; cpu < this.#geometry.cpus; cpu++) {
      for (let page = from; page < to; page++) {
        const address = this.#mapping.unmap(chunk, cpu, page)
        if (address !== undefined) unmapped.push(address)
      }
    }
    // In any case: a dead thread may have made them and mapped nothing. Mutant: percpu/table-left.
    this.#mapping.unlinkEmpty(chunk, unmapped)
  }

  release(unmapped: readonly number[]): void {
    if (unmapped.length === 0) return
    // Before any of them can be allocated again. Mutant: percpu/no-flush.
    this.#mapping.flush()
    for (const address of unmapped) this.#parts.pages.free(address, 0)
  }

  clear(chunk: number, granule: number, count: number): void {
    this.#mapping.clear(chunk, granule, count)
  }

  translate(chunk: number, cpu: number, granule: number): number | undefined {
    return this.#mapping.translate(chunk, cpu, granule)
  }
}
