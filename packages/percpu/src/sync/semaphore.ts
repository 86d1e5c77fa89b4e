/**
 * Counting semaphores whose permits come back from the dead: the reaper of a CPU gives back what
 * that CPU held. (semaphore-words.ts says how.)
 *
 * There is no queue of waiters. Of those that can have what was released, the first to look takes
 * it. A CPU that wants many permits may be overtaken by others that want fewer.
 *
 * Cost: a few hundred ns for acquire and release, and a ring for each CPU that waits; a wait costs
 * the wake-up, tens of µs.
 */
import { loadU32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { checkRange } from '../machine/check.js'
import { endUnlessOffline } from '../machine/ending.js'
import type { WaitOptions } from '../machine/wait-options.js'
import { ensureStack, FEW } from '../stack.js'
import { NotOwnerError } from './errors.js'
import { KIND_SEMAPHORE } from './held-locks.js'
import { SemaphoreLayout } from './layouts.js'
import {
  exchangeValue,
  lastOperation,
  loadValue,
  MAX_PERMITS,
  nextOperation,
  prepare,
} from './semaphore-words.js'
import type { SyncState } from './state.js'
import { WaitQueue, type Condition } from './wait-queue.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

/** Permits that were taken together, until {@link release} or the end of their `using` block. */
export class Permits {
  static {
    showAs(this, ({ count }) => ({ count }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #semaphore: Semaphore
  #count: number

  /** @internal */
  constructor(semaphore: Semaphore, count: number) {
    this.#semaphore = semaphore
    this.#count = count
  }

  /** How many of them have not been released. */
  get count(): number {
    return this.#count
  }

  /** Whether any of them has not been released. */
  get isHeld(): boolean {
    return this.#count > 0
  }

  /**
   * Gives permits back: all, or so many of them. Rings all CPUs that wait for some.
   *
   * @throws NotOwnerError if there are not so many left, or none at all, or if this CPU was
   *   declared dead; ArgumentError unless `count` is a whole number of 1 or more; OfflineError.
   *   Nothing is released then.
   */
  release(count: number = Math.max(1, this.#count)): void {
    this.#semaphore.giveBack(count, this.#count)
    this.#count -= count
  }

  /** Releases those that {@link release} has not. Nothing once this CPU is offline. */
  [Symbol.dispose](): void {
    if (this.#count > 0) endUnlessOffline(() => this.release())
  }
}

/** A number of permits that CPUs take and give back. */
export class Semaphore {
  static {
    showAs(this, (semaphore) => ({ name: semaphore.#name, address: semaphore.address, held: semaphore.held }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** Byte address of its SemaphoreLayout. */
  readonly address: number
  readonly #state: SyncState
  readonly #word: number
  readonly #name: string
  readonly #queue: WaitQueue
  #held = 0
  #total = 0
  /** The last operation of this CPU that succeeded. */
  #operation = 0
  #slot = -1

  /** @internal Made by Locks. */
  constructor(state: SyncState, word: number, name: string) {
    this.#state = state
    this.#word = word
    this.#name = visible(name)
    this.address = word * 4
    this.#queue = new WaitQueue(state, word + SemaphoreLayout.words.waiters, this.address, name)
  }

  /** Free permits. A snapshot. @throws OfflineError */
  get available(): number {
    return loadValue(this.#state.memory, this.#word).permits
  }
  /** Permits that this CPU holds. */
  get held(): number {
    return this.#held
  }
  /** Permits that there are, free or held. @throws OfflineError */
  get total(): number {
    // Loaded once: it never changes. 0 may be that of memory that is given its permits later.
    return (this.#total ||= loadU32(this.#state.memory.u32, this.#word + SemaphoreLayout.words.total))
  }

  /**
   * Takes permits, asleep until there are enough. While asleep the CPU is idle and answers its
   * doorbell. So use nothing afterwards that was read before under the protection of a grace
   * period.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   ArgumentError for more permits than there are, or other options; TooManyLocksError;
   *   UnsupportedError where a thread must not block; OfflineError.
   */
  acquire(count = 1, options?: WaitOptions): Permits {
    return this.#queue.wait(this.#wanting(count), options)
  }

  /**
   * Takes permits without blocking the thread.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   ArgumentError for more permits than there are, or other options; TooManyLocksError;
   *   OfflineError, also when this CPU goes offline meanwhile.
   */
  async acquireAsync(count = 1, options?: WaitOptions): Promise<Permits> {
    return this.#queue.waitAsync(this.#wanting(count), options)
  }

  /**
   * Takes permits if there are enough now. Never blocks.
   *
   * @returns undefined if there are not enough.
   * @throws ArgumentError for more permits than there are; TooManyLocksError; OfflineError.
   */
  tryAcquire(count = 1): Permits | undefined {
    this.#state.waiting.assertOpen()
    return this.#wanting(count).attempt()
  }

  /** @internal Of `held` permits that were taken together. */
  giveBack(count: number, held: number): void {
    this.#state.waiting.assertOpen()
    this.#checkCount(count)
    if (count > held) {
      throw new NotOwnerError(
        held === 0
          ? `these permits of ${this.#name} were released before`
          : `${this.#name}: of these permits ${held} are left, ${count} cannot be released`,
        { address: this.address, held, count },
      )
    }
    // Declared dead by mistake: the reaper has given them back. Mutant: sync/permits-of-dead.
    if (!this.#state.own.holdsNumber()) {
      throw new NotOwnerError(
        `CPU ${this.#state.cpu} was declared dead, and its permits of ${this.#name} were given back then`,
        { address: this.address, held, count },
      )
    }
    // All waiters: one that wants more than there is now would sleep on a ring that another one
    // could use. Mutant: sync/semaphore-rings-one.
    this.#queue.announce(() => this.#change(count), 'all')
  }

  #wanting(count: number): Condition<Permits> {
    this.#checkCount(count)
    const { total } = this
    if (count > total) {
      throw new ArgumentError(`${this.#name}: ${count} permits can never be had, there are ${total}`, {
        count,
        total,
      })
    }
    return {
      isReady: () => this.available >= count,
      attempt: () => (this.#change(-count) ? new Permits(this, count) : undefined),
    }
  }

  #checkCount(count: number): void {
    checkRange('count', count, 1, MAX_PERMITS)
  }

  /**
   * Adds `by` to the free permits, and takes it from those held. False if there are not that many.
   */
  #change(by: number): boolean {
    const { memory, cpu, heldLocks } = this.#state
    if (this.#slot < 0) this.#enlist()
    const next = nextOperation(this.#operation)
    let changed = false
    for (let value = loadValue(memory, this.#word); value.permits + by >= 0 && !changed;) {
      prepare(memory, heldLocks.wordOf(this.#slot), next, this.#held, -by)
      changed = exchangeValue(memory, this.#word, value, by, cpu, next)
      if (!changed) value = loadValue(memory, this.#word)
    }
    if (changed) {
      this.#operation = next
      this.#held -= by
    }
    if (this.#held === 0) this.#delist()
    return changed
  }

  /** Makes an entry with an account of nothing held. */
  #enlist(): void {
    const { memory, cpu, heldLocks } = this.#state
    ensureStack(FEW)
    this.#operation = lastOperation(memory, this.#word, cpu)
    this.#slot = heldLocks.reserve(this.#word, this)
    prepare(memory, heldLocks.wordOf(this.#slot), this.#operation, 0, 0)
    heldLocks.publish(this.#slot, KIND_SEMAPHORE, this.#word)
  }
  #delist(): void {
    this.#state.heldLocks.leave(this.#slot)
    this.#slot = -1
  }
}
