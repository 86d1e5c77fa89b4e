/** `machine.percpu`: what users have of per-CPU memory. */
import type { Allocator, PercpuRequest } from './allocator.js'
import { balance } from './balance.js'
import { PercpuCorruptionError } from './errors.js'
import type { PercpuLayer } from './layer.js'
import { findFaults } from './verify.js'

export class PercpuArea {
  readonly #layer: PercpuLayer

  /** @internal */
  constructor(layer: PercpuLayer) {
    this.#layer = layer
  }

  alloc(bytes: number, request?: PercpuRequest): number | undefined {
    return this.#allocator.allocate(bytes, request)
  }
  free(pointer: number): void {
    this.#allocator.free(pointer)
  }
  sizeOf(pointer: number): number {
    return this.#allocator.sizeOf(pointer)
  }
  address(pointer: number, cpu: number, offset = 0): number {
    return this.#allocator.translate(pointer, cpu, offset)
  }
  balance(): void {
    balance(this.#layer.use().core)
  }
  verify(): void {
    const faults = findFaults(this.#layer.use().core)
    if (faults.length > 0) throw new PercpuCorruptionError(faults.join('; '), { faults })
  }
  get #allocator(): Allocator {
    return this.#layer.use().allocator
  }
}
