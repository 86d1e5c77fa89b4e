import { PercpuError } from '../errors.js'

/** The block or object is free already. Nothing was changed. */
export class DoubleFreeError extends PercpuError {
  static override readonly name = 'DoubleFreeError'
  readonly code = 'PERCPU_DOUBLE_FREE'
}
/**
 * The address is not one that the heap handed out, or lies inside a block or object. Nothing was
 * changed.
 */
export class ForeignAddressError extends PercpuError {
  static override readonly name = 'ForeignAddressError'
  readonly code = 'PERCPU_FOREIGN_ADDRESS'
}
/**
 * The heap is not as it must be. In debug mode something was written outside an object, or into a
 * free one. From `verify`: `details.faults` lists what is wrong.
 */
export class HeapCorruptionError extends PercpuError {
  static override readonly name = 'HeapCorruptionError'
  readonly code = 'PERCPU_HEAP_CORRUPTION'
}
/** A cache of this name exists with another size, alignment or layout. */
export class CacheMismatchError extends PercpuError {
  static override readonly name = 'CacheMismatchError'
  readonly code = 'PERCPU_CACHE_MISMATCH'
}
