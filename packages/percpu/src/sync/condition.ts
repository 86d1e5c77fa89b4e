/**
 * Conditions: wait, under a mutex, until another owner of the mutex has changed what it protects.
 *
 *     signals   counts notifications; changed only by an owner of the mutex
 *
 * A waiter notes the count and enters itself while it owns the mutex, then lets it go, and has been notified when the count has
 * moved. It may be woken though its notification was meant for another one: look at what is waited for again, in a loop.
 */
import { addAtomic32, loadAtomic32 } from '#mem'
import type { SyncCore } from './core.js'
import { LockTimeoutError, NotOwnerError, SectionError } from './errors.js'
import { ConditionWords } from './layouts.js'
import type { Mutex, MutexGuard } from './mutex.js'
import { WaitQueue } from './wait-queue.js'
import type { AsyncWaitOptions, WaitOptions } from './waiting.js'

export class Condition {
  /** Byte address of its ConditionWords. */
  readonly address: number
  readonly mutex: Mutex
  readonly #core: SyncCore
  readonly #word: number
  readonly #queue: WaitQueue
  readonly #name: string

  /** @internal Made by `machine.condition` and `machine.conditionAt`. */
  constructor(core: SyncCore, word: number, name: string, mutex: Mutex) {
    this.#core = core
    this.#word = word
    this.#name = name
    this.address = word * 4
    this.mutex = mutex
    this.#queue = new WaitQueue(core, word + ConditionWords.words.waiters, this.address, name)
  }

  /**
   * Lets the mutex go, blocks until notified, and locks the mutex again: `guard` stays good.
   *
   * @returns false if `timeout` was over first.
   * @throws NotOwnerError unless `guard` holds the mutex; SectionError inside a section; UnsupportedError where blocking is
   *   forbidden.
   */
  wait(guard: MutexGuard, options: WaitOptions = {}): boolean {
    this.#core.waiting.assertMayBlock()
    const resume = this.#begin(guard)
    const { condition, end } = resume
    let notified = true
    try {
      this.#queue.wait(condition, options)
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      notified = false
    } finally {
      notified = end() || notified
      this.mutex.lock()
      resume.locked()
    }
    return notified
  }

  /** As {@link wait}, without blocking the thread. If `signal` aborts, it rejects after the mutex is locked again. */
  async waitAsync(guard: MutexGuard, options: AsyncWaitOptions = {}): Promise<boolean> {
    this.#core.waiting.assertOpen()
    const resume = this.#begin(guard)
    const { condition, end } = resume
    let notified = true
    try {
      await this.#queue.waitAsync(condition, options)
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) throw error
      notified = false
    } finally {
      notified = end() || notified
      await this.mutex.lockAsync()
      resume.locked()
    }
    return notified
  }

  /** Wakes one waiter. The caller holds the mutex. */
  notify(): void {
    this.#notify(false)
  }
  /** Wakes all waiters. The caller holds the mutex. */
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
        addAtomic32(this.#core.memory.i32, this.#word, 1)
      },
      all ? 'all' : 'one for good',
    )
  }

  /** Enters the queue and lets the mutex go. */
  #begin(guard: MutexGuard): {
    condition: { isReady(): boolean; attempt(): true | undefined }
    end: () => boolean
    locked: () => void
  } {
    if (this.#core.sections.isOpen) {
      throw new SectionError(
        'a condition cannot be waited for inside a section: the mutex would not be released',
      )
    }
    const seen = this.#signals()
    const isReady = (): boolean => this.#signals() !== seen
    this.#queue.enter()
    let locked: () => void
    try {
      locked = guard.suspend(this.mutex)
    } catch (error) {
      this.#queue.leave({ isReady: () => false })
      throw error
    }
    const end = (): boolean => {
      this.#queue.leave({ isReady: () => false })
      return isReady()
    }
    return { condition: { isReady, attempt: () => isReady() || undefined }, end, locked }
  }

  #signals(): number {
    // atomic: as in #notify.
    return loadAtomic32(this.#core.memory.i32, this.#word)
  }
}
