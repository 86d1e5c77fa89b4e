import { PercpuError } from '../errors.js'

/** A map of this name exists for other keys or values. Nothing was changed. */
export class MapMismatchError extends PercpuError {
  readonly code = 'PERCPU_MAP_MISMATCH'
}
/** The key or the value has more bytes than an entry can have. Nothing was changed. */
export class EntryTooLargeError extends PercpuError {
  readonly code = 'PERCPU_ENTRY_TOO_LARGE'
}
/** Words of a map contradict each other: `details.faults` lists what is wrong. */
export class MapCorruptionError extends PercpuError {
  readonly code = 'PERCPU_MAP_CORRUPTION'
}
/** A view of a value was used after its end: after its callback, or after what it was held for. */
export class ViewEndedError extends PercpuError {
  readonly code = 'PERCPU_VIEW_ENDED'
}
