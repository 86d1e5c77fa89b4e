/**
 * Sequence locks: readers that never wait for each other, and write nothing but one word. For data
 * that changes rarely.
 *
 *     sequence   odd while a writer is at work
 *     mutex      held by the writer
 *
 * A reader notes the sequence (even), reads the data plainly, and confirms the sequence by a
 * read-modify-write. This makes plain reads right in ECMAScript:
 *
 * - Suppose the read-modify-write finds the number unchanged. The next writer's one, which makes it
 *   odd, comes after it in the word's order and reads its value. So the reads happen before that
 *   writer's writes, and cannot see any of them.
 * - The noted number was written after the last writer's writes. So these happen before the reads.
 *
 * A mere load at the end would not do. Nothing orders plain reads before it, and a plain read may
 * see a write that is still to come. What a round reads that is not confirmed may be torn; it is
 * thrown away.
 *
 * The sequence wraps after 2^31 writes. A reader mistakes a later one for its own if exactly that
 * many, or a multiple, begin and end in the middle of its read: a write takes 100 ns, all of them
 * minutes.
 *
 * A writer writes through the journal, under the mutex. If it is killed, its reaper restores the
 * data and makes the sequence even again.
 *
 * Progress: a reader that was overtaken several times, or meets a writer at work, reads under the
 * mutex.
 * Cost: a read is two atomic operations on one word; a write is a mutex, two more of them, and the
 * journal.
 */
import { addAtomic32, loadAtomic32 } from '#mem'
import { checkFunction } from '../machine/check.js'
import { checkWait, type WaitOptions } from '../machine/wait-options.js'
import { SectionError, SelfDeadlockError } from './errors.js'
import { KIND_SEQLOCK } from './held-locks.js'
import { SeqlockLayout } from './layouts.js'
import { Mutex } from './mutex.js'
import { isThenable } from '../thenable.js'
import type { MutexGuard } from './mutex-guard.js'
import type { Section } from './section.js'
import type { SyncState } from './state.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

const TRIES = 8

/** A lock whose readers go on without waiting, and read again if a writer came. */
export class Seqlock {
  static {
    showAs(this, (seqlock) => ({ name: seqlock.#name, address: seqlock.address }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** Byte address of its SeqlockLayout. */
  readonly address: number
  /** The writers' mutex, for a condition. A section under it is a write. */
  readonly mutex: Mutex
  readonly #state: SyncState
  readonly #word: number
  readonly #name: string
  /** Reads of this thread that are under way, and would be run again after a write. */
  #reading = 0

  /** @internal Made by Locks. */
  constructor(state: SyncState, word: number, name: string) {
    this.#state = state
    this.#word = word
    this.#name = visible(name)
    this.address = word * 4
    this.mutex = new Mutex(state, word + SeqlockLayout.words.mutex, name, KIND_SEQLOCK, {
      beforeSection: () => this.#beginWrite(),
      beforeRelease: () => this.#endWrite(),
    })
  }

  /**
   * Returns what `read` returns for a state of the data between two writes. `read` may run several
   * times, on data that is half-written: it must only read, and come to an end whatever it finds.
   * What it throws for half-written data does not count. Blocks the thread while a writer is at
   * work.
   *
   * @throws what `read` throws for whole data; SectionError if `read` returns a promise;
   *   SelfDeadlockError if it writes, or between two sections of a write by this CPU;
   *   LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   TooManyLocksError; UnsupportedError where a thread must not block and would have to;
   *   ArgumentError for other options or if `read` is no function; OfflineError.
   */
  read<Result>(read: () => Result, options?: WaitOptions): Result {
    checkFunction('read', read)
    checkWait(options)
    if (this.mutex.isHeldHere) return this.#readOwn(read)
    const result = this.#tryRead(read)
    if (result) return result.value
    const guard = this.mutex.lock(options)
    try {
      return this.#run(read)
    } finally {
      guard.unlock()
    }
  }

  /**
   * As {@link Seqlock.read}, without blocking the thread. `read` itself is synchronous.
   *
   * @throws what `read` throws for whole data; SectionError if `read` returns a promise;
   *   SelfDeadlockError if it writes; LockTimeoutError at the end of `timeout`; the reason of
   *   `signal` when it aborts; TooManyLocksError; ArgumentError for other options or if `read` is
   *   no function; OfflineError.
   */
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

  /**
   * Changes the data in a section and returns what `change` returns. The changes made through the
   * section happen as a whole when `change` returns, or not at all when it throws or its thread is
   * killed. Blocks the thread while another writer is at work. Inside a section under the same lock
   * it nests.
   *
   * @throws what `change` throws, after its changes are taken back; SectionError if `change`
   *   returns a promise; SelfDeadlockError inside a read of this lock, or if this CPU has it locked
   *   outside a section; LockTimeoutError at the end of `timeout`; the reason of a `signal` that
   *   has aborted; TooManyLocksError; UnsupportedError where a thread must not block; ArgumentError
   *   for other options or if `change` is no function; OfflineError.
   */
  write<Result>(change: (section: Section) => Result, options?: WaitOptions): Result {
    this.#assertNotReading()
    return this.mutex.run(change, options)
  }

  /**
   * As {@link write}, without blocking the thread for the lock. `change` itself is synchronous.
   *
   * @throws what `change` throws, after its changes are taken back; SectionError if `change`
   *   returns a promise; SelfDeadlockError inside a read of this lock; LockTimeoutError at the end
   *   of `timeout`; the reason of `signal` when it aborts; TooManyLocksError; ArgumentError for
   *   other options or if `change` is no function; OfflineError.
   */
  async writeAsync<Result>(change: (section: Section) => Result, options?: WaitOptions): Promise<Result> {
    this.#assertNotReading()
    return this.mutex.runAsync(change, options)
  }

  /**
   * Locks it for several writes: each section of the guard is one. From the first of them on,
   * readers wait until the guard unlocks.
   *
   * @throws SelfDeadlockError inside a read of this lock, or if this CPU has it locked;
   *   LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   TooManyLocksError; UnsupportedError where a thread must not block; ArgumentError for other
   *   options; OfflineError.
   */
  writeLock(options?: WaitOptions): MutexGuard {
    this.#assertNotReading()
    return this.mutex.lock(options)
  }

  /**
   * As {@link writeLock}, without blocking the thread.
   *
   * @throws SelfDeadlockError inside a read of this lock; LockTimeoutError at the end of `timeout`;
   *   the reason of `signal` when it aborts; TooManyLocksError; ArgumentError for other options;
   *   OfflineError.
   */
  async writeLockAsync(options?: WaitOptions): Promise<MutexGuard> {
    this.#assertNotReading()
    return this.mutex.lockAsync(options)
  }

  /**
   * As {@link writeLock}, if it can be locked now. Never blocks.
   *
   * @returns undefined if it cannot, also if this CPU has it locked.
   * @throws SelfDeadlockError inside a read of this lock; TooManyLocksError; OfflineError.
   */
  tryWriteLock(): MutexGuard | undefined {
    this.#assertNotReading()
    return this.mutex.tryLock()
  }

  /**
   * This CPU has it locked. A task may be in the middle of a write of several sections, and another
   * one of the thread read here: blocking would keep the first one from going on.
   */
  #readOwn<Result>(read: () => Result): Result {
    if (this.mutex.isInOpenSection || !this.#isOdd()) return synchronous(read())
    const { cpu } = this.#state
    throw new SelfDeadlockError(
      `${this.#name} is read between two sections of a write that this CPU has begun: read inside a section, or by readAsync`,
      { address: this.address, cpu },
    )
  }

  #tryRead<Result>(read: () => Result): { readonly value: Result } | undefined {
    for (let i = 0; i < TRIES; i++) {
      // M(seqlock.sequence) pairs with N in #beginWrite: what the last writer wrote is to be read.
      // Mutant: sync/seqlock-write-unmarked.
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

  /**
   * @throws SectionError if `read` goes on after it has returned: nothing protects what it reads
   *   then.
   */
  #run<Result>(read: () => Result): Result {
    this.#reading++
    try {
      return synchronous(read())
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
    // O(seqlock.sequence) pairs with N in #beginWrite: what was read belongs to one state; the next
    // writer's writes come after. Mutant: sync/seqlock-read-unconfirmed.
    return addAtomic32(this.#state.memory.i32, this.#word, 0) === sequence
  }

  #beginWrite(): void {
    this.#assertNotReading()
    if (this.#isOdd()) return
    // N(seqlock.sequence) pairs with M in #tryRead, O in #confirm: readers that have not confirmed
    // are turned away; the data is this writer's. Mutant: sync/seqlock-write-unmarked.
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

/**
 * @throws SectionError if `read` goes on after it has returned: nothing protects what it reads
 * then.
 */
function synchronous<Result>(result: Result): Result {
  if (!isThenable(result)) return result
  throw new SectionError('a read is one synchronous stretch: do what is asynchronous before or after it')
}
