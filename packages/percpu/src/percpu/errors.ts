import { PercpuError } from '../errors.js'

/** The number is not a pointer to per-CPU memory: nothing is allocated there, or no more. Nothing was changed. */
export class PointerError extends PercpuError {
  readonly code = 'PERCPU_POINTER'
}
/** There is no per-CPU memory for the request. Nothing was taken. */
export class PercpuMemoryError extends PercpuError {
  readonly code = 'PERCPU_NO_PERCPU_MEMORY'
}
/** The metadata of the per-CPU allocator contradict each other. `details.faults` says where. */
export class PercpuCorruptionError extends PercpuError {
  readonly code = 'PERCPU_PERCPU_CORRUPTION'
}
/** A reference count, a lock for many readers, or named memory was used against its rules. */
export class PercpuUseError extends PercpuError {
  readonly code = 'PERCPU_PERCPU_USE'
}
