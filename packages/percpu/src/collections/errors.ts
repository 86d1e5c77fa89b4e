import { PercpuError } from '../errors.js'

/** A map of this name exists for other keys or values. Nothing was changed. */
export class MapMismatchError extends PercpuError {
  static override readonly name = 'MapMismatchError'
  readonly code = 'PERCPU_MAP_MISMATCH'
}
/**
 * The key or the value has more bytes than an entry can have, or the message more than its ring.
 * Nothing was changed.
 */
export class EntryTooLargeError extends PercpuError {
  static override readonly name = 'EntryTooLargeError'
  readonly code = 'PERCPU_ENTRY_TOO_LARGE'
}
/** Words of a map contradict each other: `details.faults` lists what is wrong. */
export class MapCorruptionError extends PercpuError {
  static override readonly name = 'MapCorruptionError'
  readonly code = 'PERCPU_MAP_CORRUPTION'
}
/** A ring of this name exists for other messages, or of another size. Nothing was changed. */
export class RingMismatchError extends PercpuError {
  static override readonly name = 'RingMismatchError'
  readonly code = 'PERCPU_RING_MISMATCH'
}
/** The collection was removed, or is being removed: `machine.remove`. Nothing was changed. */
export class RemovedError extends PercpuError {
  static override readonly name = 'RemovedError'
  readonly code = 'PERCPU_REMOVED'
}
/** The ring is closed: nothing more can be sent. The message was not. */
export class RingClosedError extends PercpuError {
  static override readonly name = 'RingClosedError'
  readonly code = 'PERCPU_RING_CLOSED'
}
/** Words of a ring contradict each other: `details.faults` lists what is wrong. */
export class RingCorruptionError extends PercpuError {
  static override readonly name = 'RingCorruptionError'
  readonly code = 'PERCPU_RING_CORRUPTION'
}
/** A view of a value, or of a map of ranges, was used after its callback, or after its stretch. */
export class ViewEndedError extends PercpuError {
  static override readonly name = 'ViewEndedError'
  readonly code = 'PERCPU_VIEW_ENDED'
}
