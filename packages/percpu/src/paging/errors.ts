import { PercpuError } from '../errors.js'

/**
 * An access to an address that no area has, or a write to a read-only one. `details.address`,
 * `details.access` and `details.isMapped` say which. Nothing was changed at this address.
 */
export class FaultError extends PercpuError {
  static override readonly name = 'FaultError'
  readonly code = 'PERCPU_FAULT'
}
/** There is an area in the range that was to be mapped. Nothing was changed. */
export class AreaOverlapError extends PercpuError {
  static override readonly name = 'AreaOverlapError'
  readonly code = 'PERCPU_AREA_OVERLAP'
}
/** A page of the range is pinned, by CPU `details.cpu`. Nothing was changed. */
export class PinnedError extends PercpuError {
  static override readonly name = 'PinnedError'
  readonly code = 'PERCPU_PINNED'
}
/** The calling thread has as many pages pinned as it can have. Nothing was pinned. */
export class TooManyPinsError extends PercpuError {
  static override readonly name = 'TooManyPinsError'
  readonly code = 'PERCPU_TOO_MANY_PINS'
}
/** A sparse array of this name exists for other values. Nothing was changed. */
export class SparseMismatchError extends PercpuError {
  static override readonly name = 'SparseMismatchError'
  readonly code = 'PERCPU_SPARSE_MISMATCH'
}
/** Tables, areas or counts contradict each other: `details.faults` lists what is wrong. */
export class SpaceCorruptionError extends PercpuError {
  static override readonly name = 'SpaceCorruptionError'
  readonly code = 'PERCPU_SPACE_CORRUPTION'
}
