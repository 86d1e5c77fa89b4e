import { PercpuError } from '../errors.js'

/**
 * The number is not a pointer to per-CPU memory: nothing is allocated there, or no more. Nothing
 * was changed.
 */
export class PointerError extends PercpuError {
  static override readonly name = 'PointerError'
  readonly code = 'PERCPU_POINTER'
}
/**
 * The metadata of the per-CPU allocator contradict each other. `details.faults` lists every
 * contradiction.
 */
export class PercpuCorruptionError extends PercpuError {
  static override readonly name = 'PercpuCorruptionError'
  readonly code = 'PERCPU_ALLOCATOR_CORRUPTION'
}
/** Per-CPU memory that has a name was to be freed. Nothing was changed. */
export class NamedMemoryError extends PercpuError {
  static override readonly name = 'NamedMemoryError'
  readonly code = 'PERCPU_NAMED_MEMORY'
}
/** A reference count was used against its rules. Nothing was changed. */
export class RefMisuseError extends PercpuError {
  static override readonly name = 'RefMisuseError'
  readonly code = 'PERCPU_REF_MISUSE'
}
