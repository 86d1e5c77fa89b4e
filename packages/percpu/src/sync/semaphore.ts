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
import type { SyncCore } from './state.js'
import { NotOwnerError } from './errors.js'
import { KIND_SEMAPHORE } from './held-locks.js'
import { SemaphoreWords } from './layouts.js'
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
  /** Byte address of its SemaphoreWords. */
  readonly address: number
  readonly #core: SyncCore
  readonly #word: number
  readonly #name: string
  readonly #queue: WaitQueue
  #held = 0
  #total = 0
  /** Of this CPU; the last that succeeded. */
  #operation = 0
  #place = -1

  /** @internal Made by `machine.semaphore` and `machine.semaphoreAt`. */
  constructor(core: SyncCore, word: number, name: string) {
    this.#core = core
    this.#word = word
    this.#name = name
    this.address = word * 4
    this.#queue = new WaitQueue(core, word + SemaphoreWords.words.waiters, this.address, name)
  }

  /** Free permits; a snapshot. */
  get permits(): number {
    return loadValue(this.#core.memory, this.#word).permits
  }
  /** Permits that this CPU holds. */
  get held(): number {
    return this.#held
  }

  /** Permits that there are, free or held. */
  get total(): number {
    // Once: it never changes. 0 may be that of memory which is given its permits later.
    return (this.#total ||= loadU32(this.#core.memory.u32, this.#word + SemaphoreWords.words.total))
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
    this.#core.waiting.assertOpen()
    this.#checkWanted(count)
    return this.#change(-count)
  }

  /**
   * Gives permits back.
   *
   * @throws NotOwnerError if this CPU holds fewer; OfflineError.
   */
  release(count = 1): void {
    this.#core.waiting.assertOpen()
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
    const { memory, cpu, interests } = this.#core
    if (this.#place < 0) this.#enlist()
    const next = nextOperation(this.#operation)
    let changed = false
    for (let value = loadValue(memory, this.#word); value.permits + by >= 0 && !changed;) {
      prepare(memory, interests.wordOf(this.#place), next, this.#held, -by)
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
    const { memory, cpu, interests } = this.#core
    this.#operation = lastOperation(memory, this.#word, cpu)
    this.#place = interests.reserve(this.#word, this)
    prepare(memory, interests.wordOf(this.#place), this.#operation, 0, 0)
    interests.publish(this.#place, KIND_SEMAPHORE, this.#word)
  }
  #delist(): void {
    this.#core.interests.leave(this.#place)
    this.#place = -1
  }
}
