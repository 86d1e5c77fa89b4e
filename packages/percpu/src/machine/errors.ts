import { PercpuError } from '../errors.js'

/** What was passed as a handle is none: it does not have the shape of `machine.handle`. */
export class BadHandleError extends PercpuError {
  static override readonly name = 'BadHandleError'
  readonly code = 'PERCPU_BAD_HANDLE'
}
/** The handle was made by a percpu whose shared format differs from this one's. */
export class VersionMismatchError extends PercpuError {
  static override readonly name = 'VersionMismatchError'
  readonly code = 'PERCPU_VERSION_MISMATCH'
}
/** The buffer is shorter than the machine that it is said to hold. */
export class TruncatedBufferError extends PercpuError {
  static override readonly name = 'TruncatedBufferError'
  readonly code = 'PERCPU_TRUNCATED_BUFFER'
}
/** The buffer does not begin with a machine's header page. */
export class ForeignBufferError extends PercpuError {
  static override readonly name = 'ForeignBufferError'
  readonly code = 'PERCPU_FOREIGN_BUFFER'
}
/** Every possible CPU has a thread. */
export class NoFreeCpuError extends PercpuError {
  static override readonly name = 'NoFreeCpuError'
  readonly code = 'PERCPU_NO_FREE_CPU'
}
/** The calling thread already is a CPU of this machine. */
export class AlreadyJoinedError extends PercpuError {
  static override readonly name = 'AlreadyJoinedError'
  readonly code = 'PERCPU_ALREADY_JOINED'
}
/**
 * The thread took its CPU offline: nothing that hangs on its machine object can be used any more.
 */
export class OfflineError extends PercpuError {
  static override readonly name = 'OfflineError'
  readonly code = 'PERCPU_OFFLINE'
}
/** No block of boot memory satisfies the request. Nothing was taken. */
export class OutOfMemoryError extends PercpuError {
  static override readonly name = 'OutOfMemoryError'
  readonly code = 'PERCPU_OUT_OF_MEMORY'
}
/**
 * The address is not that of an allocated region: freed already, never allocated, or inside one.
 * Nothing was freed.
 */
export class InvalidFreeError extends PercpuError {
  static override readonly name = 'InvalidFreeError'
  readonly code = 'PERCPU_INVALID_FREE'
}
/** A named object of this name exists already. */
export class ObjectExistsError extends PercpuError {
  static override readonly name = 'ObjectExistsError'
  readonly code = 'PERCPU_OBJECT_EXISTS'
}
/** There is no named object of this name. */
export class ObjectMissingError extends PercpuError {
  static override readonly name = 'ObjectMissingError'
  readonly code = 'PERCPU_OBJECT_MISSING'
}
/** The named object has another type or another layout than the caller expects. */
export class ObjectMismatchError extends PercpuError {
  static override readonly name = 'ObjectMismatchError'
  readonly code = 'PERCPU_OBJECT_MISMATCH'
}
/** The thing of this name is held, waited for, or counts references. Its name was left. */
export class NameInUseError extends PercpuError {
  static override readonly name = 'NameInUseError'
  readonly code = 'PERCPU_NAME_IN_USE'
}
/** The environment lacks what the call needs, such as an `exit` event or permission to block. */
export class UnsupportedError extends PercpuError {
  static override readonly name = 'UnsupportedError'
  readonly code = 'PERCPU_UNSUPPORTED'
}
/** Not every CPU answered within the given time. `details.cpus` names those that did not. */
export class UnansweredError extends PercpuError {
  static override readonly name = 'UnansweredError'
  readonly code = 'PERCPU_UNANSWERED'
}
/**
 * An area is not fit to be a VPA or dispatch log, or is registered or not when it must not be.
 * Nothing was registered.
 */
export class VpaError extends PercpuError {
  static override readonly name = 'VpaError'
  readonly code = 'PERCPU_VPA'
}
/**
 * A hotplug callback threw: on startup it was not added; on teardown or cleaning up, the others
 * were run all the same.
 */
export class HotplugError extends PercpuError {
  static override readonly name = 'HotplugError'
  readonly code = 'PERCPU_HOTPLUG'
}
