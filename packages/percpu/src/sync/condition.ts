/**
 * Conditions: wait, under a mutex, until another owner of the mutex has changed what it protects.
 *
 *     signals   counts notifications; changed only by an owner of the mutex
 *
 * A waiter notes the count and enters itself while it owns the mutex, then lets it go, and has been
 * notified when the count has moved. It may be woken though its notification was meant for another
 * one: look at what is waited for again, in a loop.
 *
 * Why the count may wrap around. Only equality is asked for. Exactly 2^32 notifications, or a
 * multiple, would have to come between two looks of a waiter that is rung at the first of them.
 */
import { addAtomic32, loadAtomic32 } from '#mem'
import { checkInstance } from '../machine/check.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import type { SyncState } from './state.js'
import { NotOwnerError, SectionError } from './errors.js'
import { ConditionLayout } from './layouts.js'
import type { Mutex } from './mutex.js'
import { MutexGuard } from './mutex-guard.js'
import { WaitQueue, type Condition as QueueCondition } from './wait-queue.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

/** What threads wait for while they hold a mutex: docs/sync.md. */
export class Condition {
  static {
    showAs(this, (condition) => ({
      name: condition.#name,
      address: condition.address,
      mutex: condition.mutex.name,
    }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** Byte address of its ConditionLayout. */
  readonly address: number
  readonly mutex: Mutex
  readonly #state: SyncState
  readonly #word: number
  readonly #queue: WaitQueue
  readonly #name: string

  /** @internal Made by Locks. */
  constructor(state: SyncState, word: number, name: string, mutex: Mutex) {
    this.#state = state
    this.#word = word
    this.#name = visible(name)
    this.address = word * 4
    this.mutex = mutex
    this.#queue = new WaitQueue(state, word + ConditionLayout.words.waiters, this.address, name)
  }

  /**
   * Lets the mutex go, blocks until notified, and locks the mutex again: `guard` stays good.
   *
   * @returns false if `timeout` was over first.
   * @throws NotOwnerError unless `guard` holds the mutex; SectionError inside a section; the reason
   *   of a `signal` that has aborted; TooManyLocksError; UnsupportedError where a thread must not
   *   block; ArgumentError for another guard or other options; OfflineError.
   */
  wait(guard: MutexGuard, options?: WaitOptions): boolean {
    this.#state.waiting.assertMayBlock()
    checkWait(options)
    const deadline = new Deadline(options)
    const waiter = this.#begin(guard)
    let notified: boolean
    try {
      // Not entered again: the bit that a notifier took away would come back. Mutant:
      // sync/condition-enters-twice.
      this.#queue.waitEntered(waiter, deadline)
    } finally {
      try {
        this.mutex.lock()
        waiter.resume()
      } finally {
        notified = waiter.end()
      }
    }
    return notified
  }

  /**
   * As {@link wait}, without blocking the thread. If `signal` aborts before a notification comes,
   * it rejects with the reason, after the mutex is locked again.
   *
   * @throws NotOwnerError unless `guard` holds the mutex; SectionError inside a section;
   *   TooManyLocksError; ArgumentError for another guard or other options; OfflineError, also when
   *   this CPU goes offline meanwhile.
   */
  async waitAsync(guard: MutexGuard, options?: WaitOptions): Promise<boolean> {
    this.#state.waiting.assertOpen()
    checkWait(options)
    const deadline = new Deadline(options)
    const waiter = this.#begin(guard)
    let notified: boolean
    const waiting = this.#queue.waitEnteredAsync(waiter, deadline)
    await waiting.catch(() => undefined)
    try {
      await this.mutex.lockAsync()
      waiter.resume()
    } finally {
      notified = waiter.end()
    }
    // A notification is for one waiter: one that aborts at the same moment must not swallow it.
    // Mutant: sync/abort-swallows-notification.
    if (!notified) await waiting
    return notified
  }

  /**
   * Wakes one waiter.
   *
   * @throws NotOwnerError unless this CPU has the mutex locked; TooManyLocksError; OfflineError.
   */
  notify(): void {
    this.#notify(false)
  }
  /**
   * Wakes all waiters.
   *
   * @throws NotOwnerError unless this CPU has the mutex locked; TooManyLocksError; OfflineError.
   */
  notifyAll(): void {
    this.#notify(true)
  }

  #notify(all: boolean): void {
    if (!this.mutex.isHeldHere) {
      throw new NotOwnerError(`${this.#name}: lock ${this.mutex.name} before you notify`, {
        address: this.address,
        mutex: this.mutex.address,
      })
    }
    this.#queue.announce(
      () => {
        // atomic: under the mutex, whose A and B order it; the queue's G and H see to the wake-up.
        addAtomic32(this.#state.memory.i32, this.#word, 1)
      },
      all ? 'all' : 'one-dequeued',
    )
  }

  /**
   * Enters the queue, once for the whole wait: a notifier that rings this CPU takes its bit away
   * for good.
   */
  #begin(guard: MutexGuard): Waiter {
    if (this.#state.sections.isOpen) {
      throw new SectionError(
        'a condition cannot be waited for inside a section: the mutex would not be released',
      )
    }
    checkInstance('guard', guard, MutexGuard, `not the guard that ${this.mutex.name} gave when locked`)
    const seen = this.#signals()
    const isReady = (): boolean => this.#signals() !== seen
    const leave = (): void => {
      this.#queue.leave({ isReady: () => false })
    }
    this.#queue.enter()
    let resume: () => void
    try {
      resume = guard.suspend(this.mutex)
    } catch (error) {
      leave()
      throw error
    }
    const end = (): boolean => {
      this.mutex.endSuspension()
      leave()
      return isReady()
    }
    return { isReady, attempt: () => isReady() || undefined, resume, end }
  }

  #signals(): number {
    // atomic: as in #notify.
    return loadAtomic32(this.#state.memory.i32, this.#word)
  }
}

interface Waiter extends QueueCondition<true> {
  /** The mutex is locked again. */
  readonly resume: () => void
  /** Leaves the queue; tells whether a notification came. */
  readonly end: () => boolean
}
