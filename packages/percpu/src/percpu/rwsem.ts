/**
 * A lock for many readers and few writers: reading costs one plain increment, writing a grace
 * period. (After the kernel's percpu_rw_semaphore.)
 *
 *     parts   entered − left: readers of each CPU
 *
 *     reader, fast mode    entered++                                  entered--
 *     reader, slow mode    takes the mutex, entered++, releases it    left++, tells the writer
 *     writer               takes the mutex; enters the slow mode; waits until all have left
 *     last writer gone     after a grace period the mode is fast again
 *
 * The modes are those of rcu-sync.ts.
 *
 * Why it holds: a reader that found the fast mode did so before the grace period ended. So its
 * increment happens before the writer looks. Other readers come through the mutex, so from then on
 * `entered` stands still. A reader leaves by a read-modify-write that the writer reads, and all its
 * reads happen before. The way back takes a grace period too. So a reader that finds the fast mode
 * again sees all that the writer wrote. Writers that follow each other share the time between.
 *
 * The last writer sees to the way back. That writer may have gone, or found the mutex taken. Then
 * readers that go the slow way do it, once in a while.
 *
 * A part is written by its CPU, or by its reaper, which unlocks the read locks of a dead CPU. A
 * dead writer's mutex goes to the next writer, which is told (`predecessorDied`). The dead writer's
 * changes are not undone. A reader may await while it holds the lock, and must unlock on the thread
 * on which it locked.
 *
 * Why `entered`, `left` and `writes` may wrap around. Readers are a difference modulo 2^32, and
 * fewer than 2^31. `writes` is asked for equality only: exactly 2^32 writers would have to come and
 * go during one grace period.
 */
import { addAtomic32, load32, loadAtomic32, orAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import type { OwnCpu } from '../cpus/own-cpu.js'
import type { Ringer } from '../cpus/ringer.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { Mutex } from '../sync/mutex.js'
import { ownerCpu } from '../sync/mutex-words.js'
import type { MutexGuard } from '../sync/mutex-guard.js'
import type { WaitQueue } from '../sync/wait-queue.js'
import { endUnlessOffline } from '../machine/ending.js'
import { UnansweredError } from '../machine/errors.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { ensureStack, MANY } from '../stack.js'
import { LockTimeoutError, NotOwnerError } from '../sync/errors.js'
import { PercpuReaders, PercpuRwSemaphoreLayout } from './layouts.js'
import type { SharedObject } from './named.js'
import { PASSED, RcuSync, type RcuSyncParts } from './rcu-sync.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

const fields = PercpuRwSemaphoreLayout.words
const { entered, left } = PercpuReaders.words
/** So many times the slow way, and a reader looks whether it could be the fast one. */
const SLOW_READS = 16

export interface RwSemaphoreParts extends RcuSyncParts {
  /** Word index of the PercpuRwSemaphoreLayout. */
  readonly words: number
  /** Word index of each CPU's PercpuReaders. */
  readonly parts: readonly number[]
  readonly cpu: number
  readonly mutex: Mutex
  readonly queue: WaitQueue
  readonly own: Pick<OwnCpu, 'holdsNumber' | 'assertHoldsNumber'>
  readonly reportError: (error: unknown) => void
  /** Whether it has its name. If so, its memory stays at least until this stretch is over. */
  readonly isThere: () => boolean
}

/** The right to read, until {@link unlock} or the end of its `using` block. */
export class ReadGuard {
  static {
    showAs(this, ({ isHeld }) => ({ isHeld }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  #unlock: (() => void) | undefined

  /** @internal */
  constructor(unlock: () => void) {
    this.#unlock = unlock
  }
  /** Whether it has not unlocked yet. */
  get isHeld(): boolean {
    return this.#unlock !== undefined
  }
  /**
   * @throws NotOwnerError the second time, or if this CPU was declared dead, and its reaper has
   *   unlocked; OfflineError.
   */
  unlock(): void {
    if (!this.#unlock) throw new NotOwnerError('this guard has unlocked before')
    this.#unlock()
    this.#unlock = undefined
  }
  /** Unlocks unless {@link unlock} has. Nothing once this CPU is offline. */
  [Symbol.dispose](): void {
    if (this.#unlock) endUnlessOffline(() => this.unlock())
  }
}

/** The right to write, alone. */
export class WriteGuard {
  static {
    showAs(this, ({ isHeld, predecessorDied }) => ({ isHeld, predecessorDied }))
  }

  /**
   * Whether the last writer died, or went offline, before it unlocked; what it had begun may be
   * half-done.
   */
  readonly predecessorDied: boolean
  readonly #guard: MutexGuard
  readonly #before: () => void
  readonly #after: () => void

  /** @internal `before`, `after`: what is to be done around the release. */
  constructor(guard: MutexGuard, predecessorDied: boolean, before: () => void, after: () => void) {
    this.predecessorDied = predecessorDied
    this.#guard = guard
    this.#before = before
    this.#after = after
  }
  /** Whether it has not unlocked yet. */
  get isHeld(): boolean {
    return this.#guard.isHeld
  }
  /** @throws NotOwnerError the second time; OfflineError. */
  unlock(): void {
    // All of it, or nothing.
    ensureStack(MANY)
    if (this.#guard.isHeld) this.#before()
    this.#guard.unlock()
    this.#after()
  }
  /** Unlocks unless {@link unlock} has. Nothing once this CPU is offline. */
  [Symbol.dispose](): void {
    if (this.#guard.isHeld) endUnlessOffline(() => this.unlock())
  }
}

/** A reader-writer lock whose readers count themselves on their own CPU: docs/percpu.md. */
export class PercpuRwSemaphore {
  static {
    showAs(this, ({ name, readers, isWriting }) => ({ name, readers, isWriting }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly name: string
  readonly #memory: Memory
  readonly #parts: RwSemaphoreParts
  readonly #sync: RcuSync
  readonly #own: number
  #isLeaving = false
  /** Number of the last write that this thread knows of. */
  #lastWrite = 0
  #slowReads = 0

  /** @internal `machine.percpu.rwSemaphore` */
  constructor(name: string, parts: RwSemaphoreParts) {
    this.name = name
    this.#memory = parts.memory
    this.#parts = parts
    this.#own = parts.parts[parts.cpu] ?? 0
    this.#sync = new RcuSync(parts, parts.words + fields.state, parts.words + fields.mode)
  }

  /**
   * Locks for reading; blocks the thread while there is a writer.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   SelfDeadlockError if this CPU has it locked for writing; TooManyLocksError; UnsupportedError
   *   where a thread must not block and readers are {@link isSlow | slow}; ArgumentError for other
   *   options; OfflineError.
   */
  readLock(options?: WaitOptions): ReadGuard {
    if (options !== undefined) checkWait(options)
    this.#assertPresent()
    const read = this.#guard()
    if (!this.#enterFast()) this.#enterSlow(this.#parts.mutex.lock(options))
    return read
  }
  /**
   * Locks for reading without blocking the thread.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   TooManyLocksError; ArgumentError for other options; OfflineError, also when this CPU goes
   *   offline meanwhile.
   */
  async readLockAsync(options?: WaitOptions): Promise<ReadGuard> {
    if (options !== undefined) checkWait(options)
    this.#assertPresent()
    const read = this.#guard()
    if (!this.#enterFast()) this.#enterSlow(await this.#parts.mutex.lockAsync(options))
    return read
  }
  /**
   * Locks for reading if there is no writer. Never blocks.
   *
   * @returns undefined if there is one.
   * @throws TooManyLocksError; OfflineError.
   */
  tryReadLock(): ReadGuard | undefined {
    this.#assertPresent()
    const read = this.#guard()
    if (this.#enterFast()) return read
    const guard = this.#parts.mutex.tryLock()
    if (!guard) return undefined
    this.#enterSlow(guard)
    return read
  }

  /**
   * Locks for writing: resolves when no reader and no other writer is left. Cost: a grace period,
   * unless a writer was there just before.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts: then
   *   the semaphore is not locked, and readers go on. Otherwise as `Mutex.lockAsync`.
   */
  async writeLock(options?: WaitOptions): Promise<WriteGuard> {
    checkWait(options)
    const deadline = new Deadline(options)
    const guard = await this.#parts.mutex.lockAsync(deadline.rest)
    try {
      await this.#slowDown(deadline)
      const attempt = (): true | undefined => (this.#isUnread() ? true : undefined)
      this.#number()
      await this.#parts.queue.waitAsync({ isReady: () => this.#isUnread(), attempt }, deadline.rest)
    } catch (error) {
      this.#lastWrite = load32(this.#memory.i32, this.#parts.words + fields.writes)
      guard.unlock()
      if (this.#sync.isEntered) this.#leave()
      throw error
    }
    // The mutex's own mark is not enough: a reader may have had it since then. Mutant:
    // percpu/rwsem-death-untold.
    const predecessorDied = load32(this.#memory.i32, this.#parts.words + fields.writing) !== 0
    this.#setWriting(1)
    return new WriteGuard(
      guard,
      predecessorDied,
      () => {
        if (this.#parts.own.holdsNumber()) this.#setWriting(0)
      },
      () => this.#leave(),
    )
  }

  /** Readers at this moment, of all CPUs; a guess while they come and go. */
  get readers(): number {
    return this.#parts.parts.reduce((total, part) => total + readersOf(this.#memory, part), 0)
  }
  /** Whether somebody has it locked for writing, or is about to. */
  get isWriting(): boolean {
    return this.#sync.isEntered && this.#parts.mutex.owner !== undefined
  }

  /** Whether readers go the slow way: while there is a writer, and until some time after it. */
  get isSlow(): boolean {
    return !this.#sync.isFast
  }

  #enterFast(): boolean {
    if (!this.#sync.isFast) return false
    this.#addEntered(1)
    return true
  }
  #enterSlow(guard: MutexGuard): void {
    try {
      ensureStack(MANY)
    } catch (error) {
      guard.unlock()
      throw error
    }
    // The mutex's next owner finds it.
    this.#addEntered(1)
    this.#lastWrite = load32(this.#memory.i32, this.#parts.words + fields.writes)
    guard.unlock()
    if (++this.#slowReads % SLOW_READS === 0) this.#leave()
  }
  #addEntered(by: 1 | -1): void {
    const { i32 } = this.#memory
    const word = this.#own + entered
    store32(i32, word, load32(i32, word) + by)
  }
  /** Made before anything is entered: there must be somebody to leave. */
  #guard(): ReadGuard {
    return new ReadGuard(() => this.#unlockRead())
  }
  /** What is entered for a number that is another thread's would keep writers out for ever. */
  #assertPresent(): void {
    this.#parts.own.assertHoldsNumber()
  }
  #unlockRead(): void {
    const { i32 } = this.#memory
    // Declared dead by mistake: the reaper has unlocked. Mutant: percpu/rwsem-unlocks-for-reaper.
    if (!this.#parts.own.holdsNumber())
      throw new NotOwnerError(
        `${visible(this.name)}: this CPU was declared dead, and its read locks were given back`,
      )
    if (this.#sync.isFast) {
      this.#addEntered(-1)
      return
    }
    this.#parts.queue.announce(() => {
      // F(rwsem.left) pairs with G in readersOf: the reader has left, and what it read may be
      // changed. Mutant: percpu/rwsem-plain-left.
      addAtomic32(i32, this.#own + left, 1)
    }, 'all')
  }

  /** Every reader that comes from now on finds the slow mode. */
  async #slowDown(deadline: Deadline): Promise<void> {
    if (this.#sync.isSlow) return
    try {
      await this.#sync.enter(deadline)
    } catch (error) {
      if (!(error instanceof UnansweredError)) throw error
      const { message, details } = error
      throw new LockTimeoutError(`${visible(this.name)} was not locked in time: ${message}`, details, {
        cause: error,
      })
    }
    // atomic: changed under the mutex only.
    orAtomic32(this.#memory.i32, this.#sync.state, PASSED)
  }

  #isUnread(): boolean {
    return this.#parts.parts.every((part) => readersOf(this.#memory, part) === 0)
  }
  #setWriting(writing: 0 | 1): void {
    store32(this.#memory.i32, this.#parts.words + fields.writing, writing)
  }

  /** Lets readers go the fast way again, if no writer comes for a while. */
  #leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    void this.#speedUp()
      .catch((error: unknown) => this.#parts.reportError(error))
      .finally(() => (this.#isLeaving = false))
  }
  async #speedUp(): Promise<void> {
    let write
    do {
      write = this.#lastWrite
      // Mutant: percpu/rwsem-fast-at-once.
      await this.#sync.synchronize()
      // Who has unlocked it may have removed it. Mutant: percpu/rwsem-left-freed.
      if (!this.#parts.isThere()) return
      const guard = this.#parts.mutex.tryLock()
      // A writer, who comes here later, or a reader for a moment.
      if (!guard) continue
      // No writer came since the grace period began: every reader sees what the last one wrote.
      if (load32(this.#memory.i32, this.#parts.words + fields.writes) === write) this.#sync.leave()
      guard.unlock()
    } while (write !== this.#lastWrite)
  }
  #number(): void {
    const { i32 } = this.#memory
    const word = this.#parts.words + fields.writes
    this.#lastWrite = (load32(i32, word) + 1) | 0
    store32(i32, word, this.#lastWrite)
  }
}

function readersOf({ i32 }: Memory, part: number): number {
  // G(rwsem.left) pairs with F in #unlockRead: what those who left have read, they read before.
  // Mutant: percpu/rwsem-plain-left.
  return (load32(i32, part + entered) - loadAtomic32(i32, part + left)) | 0
}

/**
 * For the reaper: what the dead CPU had locked for reading is unlocked. Returns how often it had.
 */
export function leaveForDead(memory: Memory, ringer: Ringer, words: number, part: number): number {
  const readers = readersOf(memory, part)
  if (readers === 0) return 0
  // atomic: as F, in the dead reader's place.
  storeAtomic32(memory.i32, part + left, load32(memory.i32, part + entered))
  ringAll(memory, ringer, words + fields.waiters)
  return readers
}

/** Who has the lock, for a message; undefined if nobody has. A guess while others come and go. */
export function useOfRwSemaphore({ memory, words, parts }: SharedObject): string | undefined {
  // atomic: a snapshot.
  const owner = ownerCpu(loadAtomic32(memory.i32, words + fields['mutex.owner']))
  if (owner !== undefined) return `is locked by CPU ${owner}`
  const cpu = parts.findIndex((part) => readersOf(memory, part) !== 0)
  return cpu < 0 ? undefined : `is locked for reading by CPU ${cpu}`
}
