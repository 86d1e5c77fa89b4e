/**
 * A queue of CPUs that wait for a condition on some words: what completions, conditions and
 * semaphores have in common.
 *
 *     waiters   a bit per CPU that sleeps, or is about to
 *
 * A waiter enters its bit, looks at the condition, and sleeps on its own bell; whoever changes the
 * words rings, after the change, one waiter, or all if not any of them will do, or if that one is
 * not asleep: its thread may compute for long. A waiter that was
 * rung looks again. One that leaves while the condition holds, having taken its part or given up,
 * rings the next one. Both sides are in their lists of held locks meanwhile: after a death all
 * waiters are rung.
 */
import type { SyncState } from './state.js'
import { clearBit, nextAsleep, ringAll, ringOne, setBit } from './cpu-mask.js'
import { LockTimeoutError } from './errors.js'
import { KIND_QUEUE } from './held-locks.js'
import { REASON_WAKE } from '../cpus/ringer.js'
import { ensureStack, FEW } from '../stack.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { visible } from '../shown.js'

/** How a waiter looks at the condition. */
export interface Condition<Result> {
  /** Whether it is worth trying. Only loads. */
  isReady(): boolean
  /** Takes this waiter's part, if it can. */
  attempt(): Result | undefined
}

export class WaitQueue {
  readonly #state: SyncState
  readonly #mask: number
  readonly #address: number
  readonly #name: string
  #sleepers = 0
  #slot = -1

  /** `mask`: word index of the waiters; `address`: byte address of the object whose queue it is. */
  constructor(state: SyncState, mask: number, address: number, name: string) {
    this.#state = state
    this.#mask = mask
    this.#address = address
    this.#name = visible(name)
  }

  /** @throws LockTimeoutError at the deadline. */
  wait<Result>(condition: Condition<Result>, options?: WaitOptions): Result {
    this.#state.waiting.assertMayBlock()
    checkWait(options)
    const deadline = new Deadline(options)
    const at = condition.attempt()
    if (at !== undefined) return at
    this.enter()
    try {
      const result = this.waitEntered(condition, deadline)
      if (result === undefined) throw this.#timeout(this.#state.waiting.warning)
      return result
    } finally {
      this.leave(condition)
    }
  }

  /** @throws LockTimeoutError at the deadline; the reason of its signal; OfflineError. */
  async waitAsync<Result>(condition: Condition<Result>, options?: WaitOptions): Promise<Result> {
    this.#state.waiting.assertOpen()
    checkWait(options)
    const deadline = new Deadline(options)
    const at = condition.attempt()
    if (at !== undefined) return at
    this.enter()
    try {
      const result = await this.waitEnteredAsync(condition, deadline)
      if (result === undefined) throw this.#timeout()
      return result
    } finally {
      this.leave(condition)
    }
  }

  /**
   * Between {@link enter} and {@link leave}: blocks until there is a result; undefined at the
   * deadline.
   */
  waitEntered<Result>(condition: Condition<Result>, deadline: Deadline): Result | undefined {
    const { waiting } = this.#state
    const begun = waiting.beginWait()
    let result: Result | undefined
    try {
      while (result === undefined && waiting.sleep(() => condition.isReady(), deadline, this.#mask))
        result = condition.attempt()
      return result
    } finally {
      waiting.endWait(this.#address, begun, result !== undefined)
    }
  }
  /**
   * As {@link waitEntered}, without blocking the thread. Rejects when the deadline's signal aborts.
   */
  async waitEnteredAsync<Result>(
    condition: Condition<Result>,
    deadline: Deadline,
  ): Promise<Result | undefined> {
    const { waiting } = this.#state
    const begun = waiting.beginWait()
    let result: Result | undefined
    try {
      while (result === undefined && (await waiting.wait(() => condition.isReady(), deadline)))
        result = condition.attempt()
      return result
    } finally {
      waiting.endWait(this.#address, begun, result !== undefined)
    }
  }

  /**
   * Makes a change that waiters look for, and rings one of them, or all. `'one-dequeued'`: the one
   * that is rung is no waiter any more, so that the next change rings another one; such changes
   * come one at a time.
   */
  announce(change: () => void, whom: 'one' | 'one-dequeued' | 'all'): void {
    const { heldLocks, memory, own } = this.#state
    heldLocks.ringing(this.#mask, () => {
      change()
      if (whom === 'all') {
        ringAll(memory, own.doorbell.ringer, this.#mask)
      } else if (whom === 'one') {
        this.wakeNext()
      } else {
        this.#wakeOnly()
      }
    })
  }

  /** @throws TooManyLocksError. Nothing has changed then. */
  enter(): void {
    const { heldLocks, memory, cpu } = this.#state
    ensureStack(FEW)
    if (this.#sleepers === 0) this.#slot = heldLocks.enter(this.#mask, KIND_QUEUE, this)
    this.#sleepers++
    // G(queue.waiters) asks for a ring; pairs with H in wakeNext: set before the condition is
    // looked at, so a change that this CPU did not see yet finds the bit. Mutant:
    // sync/queue-wake-first.
    setBit(memory, this.#mask, cpu)
  }

  leave(condition: Pick<Condition<unknown>, 'isReady'>): void {
    const { heldLocks, memory, cpu } = this.#state
    if (--this.#sleepers > 0) return
    clearBit(memory, this.#mask, cpu)
    // What is left is for the next one; and a ring that came too late here is passed on. Mutant:
    // sync/queue-keeps-ring.
    if (condition.isReady()) this.wakeNext()
    heldLocks.leave(this.#slot)
  }

  /** Rings one waiter that can run at once, or all. */
  wakeNext(): void {
    const { memory, cpu, cpus, own } = this.#state
    // H(queue.waiters) pairs with G in enter: read after the change, so a waiter that does not see
    // that is seen here. Mutant: sync/queue-wake-first.
    ringOne(memory, own.doorbell.ringer, this.#mask, cpu, cpus)
  }
  /** Rings one waiter, which is none any more. */
  #wakeOnly(): void {
    const { memory, cpu, cpus, own } = this.#state
    const { ringer } = own.doorbell
    // atomic: as H. Mutant: sync/notifies-the-busy.
    const next = nextAsleep(memory, ringer, this.#mask, cpu, cpus)
    if (next < 0) return
    ringer.ring(next, REASON_WAKE)
    clearBit(memory, this.#mask, next)
  }

  #timeout(warning = ''): LockTimeoutError {
    return new LockTimeoutError(`${this.#name}: what was waited for did not come in time${warning}`, {
      address: this.#address,
    })
  }
}
