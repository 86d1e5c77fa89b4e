/**
 * Chunks of contiguous units, on a machine without MMU or of one CPU.
 *
 *     base ──▶ unit of CPU 0 │ unit of CPU 1 │ …
 *
 * All units of a chunk are one block of pages, so they lie on one node. Blocks have 2^order pages.
 * If the units fill less than that, the rest is wasted; `overhead` in the report counts it.
 */
import { load32, store32, type Memory } from '#mem'
import { PAGE_BYTES } from '../arithmetic.js'
import type { SectionWriter } from '../sync/layer-lock.js'
import { clearWords, type Backend, type BackendParts } from './backend.js'
import { GRANULE, type Geometry } from './geometry.js'
import { PercpuChunk } from './layouts.js'

const { base } = PercpuChunk.words

export class ContiguousBackend implements Backend {
  readonly name = 'km'
  readonly populatedAtOnce = true
  readonly tables = undefined
  readonly #memory: Memory
  readonly #geometry: Geometry
  readonly #parts: BackendParts

  constructor(memory: Memory, geometry: Geometry, parts: BackendParts) {
    this.#memory = memory
    this.#geometry = geometry
    this.#parts = parts
  }

  place(chunk: number, [first = 0]: readonly number[]): void {
    store32(this.#memory.i32, chunk + base, first / PAGE_BYTES)
  }
  create(chunk: number): boolean {
    const address = this.#parts.pages.tryAlloc(this.#geometry.chunkOrder)
    if (address === undefined) return false
    store32(this.#memory.i32, chunk + base, address / PAGE_BYTES)
    return true
  }
  persist(chunk: number, section: SectionWriter): void {
    this.#parts.pages.persist(this.#address(chunk), section)
  }
  adopt(chunk: number, section: SectionWriter): void {
    this.#parts.pages.adopt(this.#address(chunk), section)
  }
  destroy(chunk: number): void {
    this.#parts.pages.free(this.#address(chunk), this.#geometry.chunkOrder)
  }

  populate(): boolean {
    return true
  }
  unmap(): void {
    // Nothing is mapped.
  }
  release(): void {
    // Nothing was unmapped.
  }

  clear(chunk: number, granule: number, count: number): void {
    const { i32 } = this.#memory
    const { cpus, granules } = this.#geometry
    let word = this.#address(chunk) / GRANULE + granule
    for (let cpu = 0; cpu < cpus; cpu++, word += granules) clearWords(i32, word, word + count)
  }

  translate(chunk: number, cpu: number, granule: number): number {
    return this.#address(chunk) + cpu * this.#geometry.unitBytes + granule * GRANULE
  }
  #address(chunk: number): number {
    return load32(this.#memory.i32, chunk + base) * PAGE_BYTES
  }
}
