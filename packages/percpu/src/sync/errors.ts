import { PercpuError } from '../errors.js'

/** The lock, permit or signal did not come within the given time. Nothing was taken. */
export class LockTimeoutError extends PercpuError {
  static override readonly name = 'LockTimeoutError'
  readonly code = 'PERCPU_LOCK_TIMEOUT'
}
/**
 * This CPU holds the mutex already, or has a section of the domain under way; waiting would never
 * end. Nothing was changed.
 */
export class SelfDeadlockError extends PercpuError {
  static override readonly name = 'SelfDeadlockError'
  readonly code = 'PERCPU_SELF_DEADLOCK'
}
/**
 * What was to be given back is not this CPU's: a mutex unlocked twice or by a stranger, more
 * permits than were taken.
 */
export class NotOwnerError extends PercpuError {
  static override readonly name = 'NotOwnerError'
  readonly code = 'PERCPU_NOT_OWNER'
}
/** This CPU holds, or waits for, as many locks as its list has places for. */
export class TooManyLocksError extends PercpuError {
  static override readonly name = 'TooManyLocksError'
  readonly code = 'PERCPU_TOO_MANY_LOCKS'
}
/** The section would change more words than the undo journal has room for. It is rolled back. */
export class JournalFullError extends PercpuError {
  static override readonly name = 'JournalFullError'
  readonly code = 'PERCPU_JOURNAL_FULL'
}
/** A section was used after its end, ended out of order, left open, or given asynchronous work. */
export class SectionError extends PercpuError {
  static override readonly name = 'SectionError'
  readonly code = 'PERCPU_SECTION'
}
/**
 * The CPU went offline with locks held or waited for. They were released as those of a dead CPU
 * are.
 */
export class LockHeldError extends PercpuError {
  static override readonly name = 'LockHeldError'
  readonly code = 'PERCPU_LOCK_HELD'
}
