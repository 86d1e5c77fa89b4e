import type { Sleep } from '../cpus/stall.js'
import type { Deadline } from '../machine/wait-options.js'

/**
 * A kind of grace period, for those who wait for its ends: sched RCU, or a domain of SRCU. Cookies
 * are those of cpus/sequence.ts. They are the same on all threads.
 */
export interface GracePeriodSource {
  /**
   * The cookie of a grace period that begins after now. What this thread wrote before, or read of
   * others, happens before that grace period.
   */
  snap(): number
  /** Whether that grace period has ended. Then all that it waited for happened before. */
  isDone(cookie: number): boolean
  /** Lets it come, if nobody else has. Does nothing if it is done. */
  request(cookie: number, expedited: boolean): void
  /**
   * Resolves when it is done. It was requested before. When this CPU goes offline it rejects, or
   * stays pending.
   */
  whenDone(cookie: number): Promise<void>
  /**
   * Lets it come, in a hurry, and blocks the thread by `sleep` until it is done; false at the
   * deadline.
   *
   * @throws SelfDeadlockError if it waits for this CPU; UnansweredError at the deadline.
   */
  block(cookie: number, sleep: Sleep, deadline: Deadline, isExpedited: boolean): boolean
}
