/**
 * Counting semaphores whose permits come back from the dead: what a CPU holds when its thread dies is given back by its
 * reaper. (semaphore-words.ts says how.)
 *
 * Who waits is not in a queue: of those that can have what was released, the first to look takes it, and one that wants much may be
 * overtaken by others that want less.
 * Cost: a few hundred ns for acquire and release, and a ring for each CPU that waits; a wait costs the wake-up.
 */
import { loadU32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import type { WaitOptions } from '../machine/wait-options.js'
import type { SyncState } from './state.js'
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
import { WaitQueue, type Condition } from './wait-queue.js'

export class Semaphore {
  /** Byte address of its SemaphoreLayout. */
  readonly address: number
  readonly #state: SyncState
  readonly #word: number
  readonly #name: string
  readonly #queue: WaitQueue
  #held = 0
  #total = 0
  /** Of this CPU; the last that succeeded. */
  #operation = 0
  #slot = -1

  /** @internal Made by `machine.semaphore` and `machine.semaphoreAt`. */
  constructor(state: SyncState, word: number, name: string) {
    this.#state = state
    this.#word = word
    this.#name = name
    this.address = word * 4
    this.#queue = new WaitQueue(state, word + SemaphoreLayout.words.waiters, this.address, name)
  }

  /** Free permits; a snapshot. */
  get permits(): number {
    return loadValue(this.#state.memory, this.#word).permits
  }
  /** Permits that this CPU holds. */
  get held(): number {
    return this.#held
  }

  /** Permits that there are, free or held. */
  get total(): number {
    // Once: it never changes. 0 may be that of memory which is given its permits later.
    return (this.#total ||= loadU32(this.#state.memory.u32, this.#word + SemaphoreLayout.words.total))
  }

  /** Takes permits, asleep until there are enough. Throws as `Mutex.lock`; ArgumentError for more than there are. */
  acquire(count = 1, options?: WaitOptions): void {
    this.#queue.wait(this.#wanting(count), options)
  }
  /** As {@link acquire}, without blocking the thread. */
  async acquireAsync(count = 1, options?: WaitOptions): Promise<void> {
    await this.#queue.waitAsync(this.#wanting(count), options)
  }
  /** Takes permits if there are enough now. @throws ArgumentError for more than there are. */
  tryAcquire(count = 1): boolean {
    this.#state.waiting.assertOpen()
    this.#checkWanted(count)
    return this.#change(-count)
  }

  /**
   * Gives permits back.
   *
   * @throws NotOwnerError if this CPU holds fewer; OfflineError.
   */
  release(count = 1): void {
    this.#state.waiting.assertOpen()
    this.#check(count)
    if (count > this.#held) {
      throw new NotOwnerError(
        `${this.#name}: this CPU cannot release ${count} permits, it holds ${this.#held}`,
        { address: this.address, held: this.#held, count },
      )
    }
    // All: one that wants more than there is now would sleep on a ring that another one could use. Mutant:
    // sync/semaphore-rings-one.
    this.#queue.announce(() => this.#change(count), 'all')
  }

  #wanting(count: number): Condition<true> {
    this.#checkWanted(count)
    return { isReady: () => this.permits >= count, attempt: () => this.#change(-count) || undefined }
  }

  /** More than there are would be waited for in vain. */
  #checkWanted(count: number): void {
    this.#check(count)
    const { total } = this
    if (count <= total) return
    throw new ArgumentError(`${this.#name}: ${count} permits can never be had, there are ${total}`, {
      count,
      total,
    })
  }
  #check(count: number): void {
    if (Number.isInteger(count) && count >= 1 && count <= MAX_PERMITS) return
    throw new ArgumentError(`${this.#name}: ${shown(count)} is not a number of permits`, { count })
  }

  /** Adds `by` to the free permits, and takes it from those held; false if there are not that many. */
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

  /** An entry with an account that says: nothing held. */
  #enlist(): void {
    const { memory, cpu, heldLocks } = this.#state
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
