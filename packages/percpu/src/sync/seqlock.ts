/**
 * Sequence locks: readers that never wait for each other and write nothing but one word, for data that changes rarely.
 *
 *     sequence   odd while a writer is at work
 *     mutex      held by the writer
 *
 * A reader notes the sequence (even), reads the data plainly, and confirms the sequence by a read-modify-write. Why that makes
 * plain reads right in ECMAScript: if the read-modify-write finds the number unchanged, then the next writer's one, which makes it
 * odd, comes after it in the word's order and reads what it wrote; so the reads happen before that writer's writes and cannot
 * see any of them. And the noted number was written after the last writer's writes: they happen before the reads. A mere load
 * would not do: nothing orders plain reads before it, and a plain read may see a write that is still to come. What
 * a reader reads in a round that is not confirmed may be torn; it is thrown away.
 *
 * A writer writes through the journal, under the mutex. If it is killed, its reaper restores the data and makes the
 * sequence even again.
 * Progress: a reader that was overtaken several times, or meets a writer at work, reads under the mutex.
 * Cost: a read is two atomic operations on one word; a write is a mutex, two more of them, and the journal.
 */
import { addAtomic32, loadAtomic32 } from '#mem'
import { checkFunction, isThenable } from '../machine/check.js'
import { checkWait, type WaitOptions } from '../machine/wait-options.js'
import type { SyncState } from './state.js'
import { SectionError, SelfDeadlockError } from './errors.js'
import { KIND_SEQLOCK } from './held-locks.js'
import { SeqlockLayout } from './layouts.js'
import { Mutex } from './mutex.js'
import type { Section } from './section.js'

const TRIES = 8

export class Seqlock {
  /** Byte address of its SeqlockLayout. */
  readonly address: number
  /** The writers' mutex. A section under it is a write; it lasts until the mutex is unlocked. */
  readonly mutex: Mutex
  readonly #state: SyncState
  readonly #word: number
  readonly #name: string
  /** Reads of this thread that are under way, and would be run again after a write. */
  #reading = 0

  /** @internal Made by `machine.seqlock` and `machine.seqlockAt`. */
  constructor(state: SyncState, word: number, name: string) {
    this.#state = state
    this.#word = word
    this.#name = name
    this.address = word * 4
    this.mutex = new Mutex(state, word + SeqlockLayout.words.mutex, name, KIND_SEQLOCK, {
      beforeSection: () => this.#beginWrite(),
      beforeRelease: () => this.#endWrite(),
    })
  }

  /**
   * Returns what `read` returns for a state of the data between two writes. `read` may run several times, on data that is
   * half-written: it must only read, and come to an end whatever it finds. What it throws then does not count.
   *
   * @throws as `Mutex.lock`, when it comes to that; what `read` throws for whole data; SectionError if it returns a promise;
   *   SelfDeadlockError if it writes.
   */
  read<Result>(read: () => Result, options?: WaitOptions): Result {
    checkFunction('read', read)
    checkWait(options)
    if (this.mutex.isHeldHere) return read()
    const result = this.#tryRead(read)
    if (result) return result.value
    const guard = this.mutex.lock(options)
    try {
      return this.#run(read)
    } finally {
      guard.unlock()
    }
  }

  /** As {@link read}, without blocking the thread when a writer is at work. */
  async readAsync<Result>(read: () => Result, options?: WaitOptions): Promise<Result> {
    checkFunction('read', read)
    checkWait(options)
    const result = this.mutex.isHeldHere ? undefined : this.#tryRead(read)
    if (result) return result.value
    const guard = await this.mutex.lockAsync(options)
    try {
      return this.#run(read)
    } finally {
      guard.unlock()
    }
  }

  /** Changes the data, in a section; as `Mutex.run` of {@link mutex}. */
  write<Result>(change: (section: Section) => Result, options?: WaitOptions): Result {
    this.#assertNotReading()
    return this.mutex.run(change, options)
  }
  /** As {@link write}, without blocking the thread for the mutex. */
  async writeAsync<Result>(change: (section: Section) => Result, options?: WaitOptions): Promise<Result> {
    this.#assertNotReading()
    return this.mutex.runAsync(change, options)
  }

  #tryRead<Result>(read: () => Result): { readonly value: Result } | undefined {
    for (let i = 0; i < TRIES; i++) {
      // M(seqlock.sequence) pairs with N in #beginWrite: what the last writer wrote is to be read. Mutant:
      // sync/seqlock-write-unmarked.
      const sequence = loadAtomic32(this.#state.memory.i32, this.#word)
      if ((sequence & 1) === 1) continue
      try {
        const value = this.#run(read)
        if (this.#confirm(sequence)) return { value }
      } catch (error) {
        if (this.#confirm(sequence)) throw error
      }
    }
    return undefined
  }

  /** @throws SectionError if `read` goes on after it has returned: then nothing protects what it reads. */
  #run<Result>(read: () => Result): Result {
    this.#reading++
    try {
      const result = read()
      if (isThenable(result))
        throw new SectionError(
          'a read is one synchronous stretch: do what is asynchronous before or after it',
        )
      return result
    } finally {
      this.#reading--
    }
  }
  /** A write would let the read around it begin again, and write again. */
  #assertNotReading(): void {
    if (this.#reading === 0) return
    const { cpu } = this.#state
    throw new SelfDeadlockError(
      `${this.#name} is written inside a read of it, which would never end: write before or after the read`,
      { address: this.address, cpu },
    )
  }

  #confirm(sequence: number): boolean {
    // O(seqlock.sequence) pairs with N in #beginWrite: what was read belongs to one state; the next writer's writes come after.
    // Mutant: sync/seqlock-read-unconfirmed.
    return addAtomic32(this.#state.memory.i32, this.#word, 0) === sequence
  }

  #beginWrite(): void {
    this.#assertNotReading()
    if (this.#isOdd()) return
    // N(seqlock.sequence) pairs with M in #tryRead, O in #confirm: readers that have not confirmed are turned away; the data is
    // this writer's. Mutant: sync/seqlock-write-unmarked.
    addAtomic32(this.#state.memory.i32, this.#word, 1)
  }
  /** Before the mutex is released, after the outermost section has ended. */
  #endWrite(): void {
    // atomic: as N; the data is whole again.
    if (this.#isOdd()) addAtomic32(this.#state.memory.i32, this.#word, 1)
  }
  #isOdd(): boolean {
    // atomic: changed only by the owner of the mutex.
    return (loadAtomic32(this.#state.memory.i32, this.#word) & 1) === 1
  }
}
