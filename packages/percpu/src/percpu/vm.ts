/**
 * Chunks of units that are mapped page by page: each page of a unit lies where its CPU's node has memory.
 *
 *     populate   1. take a page for each CPU and page          fails: give back those taken
 *                2. map them, CPU by CPU                       fails: unmap those mapped, flush, give all back
 *     unmap, release    unmap all, flush once, give all back
 *
 * A thread killed in the middle leaves some pages mapped that do not count as populated: operation.ts unmaps them. Those not mapped are
 * in flight, and end with the thread.
 */
import type { Memory } from '#mem'
import { clearWords, type Backend, type BackendParts } from './backend.js'
import { BLOCK, pageOf, type Geometry } from './geometry.js'
import type { Mapping } from './mapping.js'

export class MappedBackend implements Backend {
  readonly name = 'vm'
  readonly populatedAtOnce = false
  readonly #memory: Memory
  readonly #geometry: Geometry
  readonly #mapping: Mapping
  readonly #parts: BackendParts
  /** @internal For tests: called before each mapping of a page; fails if it throws. */
  beforeMap: (() => void) | undefined

  constructor(memory: Memory, geometry: Geometry, mapping: Mapping, parts: BackendParts) {
    this.#memory = memory
    this.#geometry = geometry
    this.#mapping = mapping
    this.#parts = parts
  }

  create(): boolean {
    return true
  }
  persist(): void {
    // Nothing but the record.
  }
  adopt(): void {
    // Nothing but the record.
  }
  destroy(): void {
    // Nothing but the record.
  }

  populate(chunk: number, from: number, to: number): boolean {
    const count = (to - from) * this.#geometry.cpus
    const taken: number[] = []
    let mapped = 0
    try {
      if (this.#take(count, taken, to - from)) {
        for (; mapped < count; mapped++) {
          this.beforeMap?.()
          this.#map(chunk, from, to, mapped, taken[mapped] ?? 0)
        }
      }
    } finally {
      // Once, whatever went wrong: what is free may be somebody else's. Mutant: percpu/unwind-twice.
      if (mapped < count) this.#unwind(chunk, from, to, taken.slice(mapped))
    }
    return mapped === count
  }

  /** `rest`: pages that were taken and not mapped. If that fails, the others are in flight until this CPU goes. */
  #unwind(chunk: number, from: number, to: number, rest: readonly number[]): void {
    const unmapped: number[] = []
    // What was mapped first, and with a flush. Mutant: percpu/unwind-forgets-mapped.
    this.unmap(chunk, from, to, unmapped)
    this.release(unmapped)
    for (const address of rest) this.#parts.pages.free(address, 0)
  }

  /** Pages of all CPUs, `each` for one: CPU by CPU. */
  #take(count: number, taken: number[], each: number): boolean {
    const { pages, nodes } = this.#parts
    while (taken.length < count) {
      const address = pages.tryAlloc(0, { node: nodes[Math.floor(taken.length / each)] ?? 0 })
      if (address === undefined) return false
      taken.push(address)
    }
    return true
  }

  #map(chunk: number, from: number, to: number, number: number, address: number): void {
    const each = to - from
    const cpu = Math.floor(number / each)
    this.#mapping.map(chunk, cpu, from + (number % each), address, this.#parts.pages)
  }

  unmap(chunk: number, from: number, to: number, unmapped: number[]): void {
    for (let cpu = 0; cpu < this.#geometry.cpus; cpu++) {
      for (let page = from; page < to; page++) {
        const address = this.#mapping.unmap(chunk, cpu, page, this.#parts.pages)
        if (address !== undefined) unmapped.push(address)
      }
    }
  }

  release(unmapped: readonly number[]): void {
    if (unmapped.length === 0) return
    // Before any of them is somebody else's. Mutant: percpu/no-flush.
    this.#mapping.flush()
    for (const address of unmapped) this.#parts.pages.free(address, 0)
  }

  clear(chunk: number, granule: number, count: number): void {
    const { cpus } = this.#geometry
    const page = pageOf(granule)
    const { i32 } = this.#memory
    for (let cpu = 0; cpu < cpus; cpu++) {
      const word = this.#mapping.at(chunk, cpu, page) * BLOCK + (granule & (BLOCK - 1))
      clearWords(i32, word, word + count)
    }
  }

  translate(chunk: number, cpu: number, granule: number): number | undefined {
    return this.#mapping.translate(chunk, cpu, granule)
  }
}
