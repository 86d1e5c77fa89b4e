/**
 * A lock for many readers and few writers: reading costs one plain increment, writing a grace period. (After the kernel's
 * percpu_rw_semaphore.)
 *
 *     state   FAST ──writer──▶ ENTERING ──grace period──▶ SLOW ──last writer gone, grace period──▶ FAST
 *     parts   readers of each CPU                             mode = 0 ⇔ FAST, a plain copy for readers
 *
 *     reader, mode 0     part++                                        part--
 *     reader, else       takes the mutex, part++, releases it          part--, tells the writer
 *     writer             takes the mutex; if FAST: ENTERING, grace period, SLOW; waits until all parts are 0
 *
 * Why it holds: a reader that found mode 0 did so before the grace period ended, so its increment happens before the writer adds up; one
 * that found something else comes through the mutex. The way back to FAST takes a grace period too, so that a reader that finds
 * mode 0 again sees what the writer wrote. Writers that follow each other share the time between.
 *
 * A part is written by its CPU, or by its reaper: what a dead CPU had locked for reading is unlocked. A dead writer's mutex goes to the
 * next one (`predecessorDied`); what it wrote is not undone, unless by a section of the mutex.
 * A reader may await while it holds it, and must unlock on the thread on which it locked.
 */
import { addAtomic32, load32, loadAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import type { Ringer } from '../machine/doorbell.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { Mutex, MutexGuard } from '../sync/mutex.js'
import type { WaitQueue } from '../sync/wait-queue.js'
import { checkAsyncWait, checkWait, type AsyncWaitOptions, type WaitOptions } from '../sync/waiting.js'
import { PercpuUseError } from './errors.js'
import { PercpuRwSemaphoreWords } from './layouts.js'

const fields = PercpuRwSemaphoreWords.words
const FAST = 0
const ENTERING = 1
const SLOW = 2

export interface RwSemaphoreParts {
  readonly memory: Memory
  /** Word index of the PercpuRwSemaphoreWords. */
  readonly words: number
  readonly parts: readonly number[]
  readonly cpu: number
  readonly mutex: Mutex
  readonly queue: WaitQueue
  readonly synchronize: () => Promise<void>
  readonly reportError: (error: unknown) => void
}

/** The right to read, until {@link unlock} or the end of its `using` block. */
export class ReadGuard {
  #unlock: (() => void) | undefined

  /** @internal */
  constructor(unlock: () => void) {
    this.#unlock = unlock
  }
  /** @throws PercpuUseError the second time. */
  unlock(): void {
    if (!this.#unlock) throw new PercpuUseError('this guard has unlocked already')
    const unlock = this.#unlock
    this.#unlock = undefined
    unlock()
  }
  [Symbol.dispose](): void {
    if (this.#unlock) this.unlock()
  }
}

/** The right to write, alone. */
export class WriteGuard {
  readonly #guard: MutexGuard
  readonly #after: () => void

  /** @internal */
  constructor(guard: MutexGuard, after: () => void) {
    this.#guard = guard
    this.#after = after
  }
  /** Whether the last writer died; what it had begun may be half-done. */
  get predecessorDied(): boolean {
    return this.#guard.predecessorDied
  }
  /** @throws NotOwnerError the second time. */
  unlock(): void {
    this.#guard.unlock()
    this.#after()
  }
  [Symbol.dispose](): void {
    if (this.#guard.isHeld) this.unlock()
  }
}

export class PercpuRwSemaphore {
  readonly name: string
  readonly #memory: Memory
  readonly #parts: RwSemaphoreParts
  readonly #own: number
  readonly #mode: number
  #isLeaving = false
  /** Number of the last write of this thread. */
  #lastWrite = 0

  /** @internal `machine.percpu.rwSemaphore` */
  constructor(name: string, parts: RwSemaphoreParts) {
    this.name = name
    this.#memory = parts.memory
    this.#parts = parts
    this.#own = parts.parts[parts.cpu] ?? 0
    this.#mode = parts.words + fields.mode
  }

  /** Locks for reading; blocks the thread while there is a writer. Throws as `Mutex.lock`. */
  readLock(options?: WaitOptions): ReadGuard {
    if (options !== undefined) checkWait(options)
    if (!this.#enterFast()) {
      const guard = this.#parts.mutex.lock(options)
      this.#enterSlow(guard)
    }
    return this.#guard()
  }
  /** Locks for reading without blocking the thread. Throws as `Mutex.lockAsync`. */
  async readLockAsync(options?: AsyncWaitOptions): Promise<ReadGuard> {
    if (options !== undefined) checkAsyncWait(options)
    if (!this.#enterFast()) this.#enterSlow(await this.#parts.mutex.lockAsync(options))
    return this.#guard()
  }
  /** Locks for reading if there is no writer. */
  tryReadLock(): ReadGuard | undefined {
    if (this.#enterFast()) return this.#guard()
    const guard = this.#parts.mutex.tryLock()
    if (!guard) return undefined
    this.#enterSlow(guard)
    return this.#guard()
  }

  /** Locks for writing: resolves when no reader and no other writer is left. A grace period, unless a writer was there just before. */
  async writeLock(options: AsyncWaitOptions = {}): Promise<WriteGuard> {
    const guard = await this.#parts.mutex.lockAsync(options)
    try {
      await this.#slowDown()
      const attempt = (): true | undefined => (this.#isUnread() ? true : undefined)
      this.#number()
      await this.#parts.queue.waitAsync({ isReady: () => this.#isUnread(), attempt }, options)
    } catch (error) {
      guard.unlock()
      this.#leave()
      throw error
    }
    return new WriteGuard(guard, () => this.#leave())
  }

  /** Readers at this moment, of all CPUs; a guess while they come and go. */
  get readers(): number {
    return this.#readers()
  }
  /** Whether somebody has it locked for writing, or is about to. */
  get isWriting(): boolean {
    // atomic: a snapshot.
    return (
      loadAtomic32(this.#memory.i32, this.#parts.words + fields.state) !== FAST &&
      this.#parts.mutex.owner !== undefined
    )
  }

  /** Whether readers go the slow way: while there is a writer, and until some time after it. */
  get isSlow(): boolean {
    return load32(this.#memory.i32, this.#mode) !== 0
  }

  #enterFast(): boolean {
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) !== 0) return false
    store32(i32, this.#own, load32(i32, this.#own) + 1)
    return true
  }
  #enterSlow(guard: MutexGuard): void {
    const { i32 } = this.#memory
    // The mutex's next owner finds it.
    store32(i32, this.#own, load32(i32, this.#own) + 1)
    guard.unlock()
  }
  #guard(): ReadGuard {
    return new ReadGuard(() => this.#unlockRead())
  }
  #unlockRead(): void {
    const { i32 } = this.#memory
    store32(i32, this.#own, load32(i32, this.#own) - 1)
    if (load32(i32, this.#mode) === 0) return
    this.#parts.queue.announce(() => {
      // F(rwsem.departures) pairs with G in #isUnread: the reader has left, and what it read may be changed. Mutant:
      // percpu/rwsem-departure-first.
      addAtomic32(i32, this.#parts.words + fields.departures, 1)
    }, 'all')
  }

  /** Every reader that comes from now on finds the mode changed. */
  async #slowDown(): Promise<void> {
    const state = this.#parts.words + fields.state
    const { i32 } = this.#memory
    // atomic: changed under the mutex only.
    if (loadAtomic32(i32, state) === SLOW) return
    store32(i32, this.#mode, 1)
    // atomic: the grace period orders it; one that began and did not end is begun anew.
    storeAtomic32(i32, state, ENTERING)
    await this.#parts.synchronize()
    // atomic: as above.
    storeAtomic32(i32, state, SLOW)
  }

  #isUnread(): boolean {
    // G(rwsem.departures) pairs with F in #unlockRead: the parts of those who left are seen. Mutant:
    // percpu/rwsem-departure-first.
    loadAtomic32(this.#memory.i32, this.#parts.words + fields.departures)
    return this.#readers() === 0
  }
  #readers(): number {
    let total = 0
    for (const word of this.#parts.parts) total += load32(this.#memory.i32, word)
    return total
  }

  /** Lets readers go the fast way again, if no writer comes for a while. */
  #leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    void this.#speedUp()
      .catch((error: unknown) => this.#parts.reportError(error))
      .finally(() => {
        this.#isLeaving = false
      })
  }
  async #speedUp(): Promise<void> {
    for (let write = 0; write !== this.#lastWrite;) {
      write = this.#lastWrite
      await this.#parts.synchronize()
      const guard = this.#parts.mutex.tryLock()
      // A writer, who comes here later, or a reader for a moment: then the next writer does.
      if (!guard) continue
      if (load32(this.#memory.i32, this.#parts.words + fields.writes) === write) this.#setFast()
      guard.unlock()
    }
  }
  /** No writer came since the grace period began: every reader sees what the last one wrote. */
  #setFast(): void {
    const { i32 } = this.#memory
    // atomic: changed under the mutex only. First, so that with mode 0 it is never SLOW.
    storeAtomic32(i32, this.#parts.words + fields.state, FAST)
    store32(i32, this.#mode, 0)
  }
  #number(): void {
    const { i32 } = this.#memory
    const word = this.#parts.words + fields.writes
    this.#lastWrite = (load32(i32, word) + 1) | 0
    store32(i32, word, this.#lastWrite)
  }
}

/** For the reaper: what the dead CPU had locked for reading is unlocked. Returns how often it had. */
export function leaveForDead(memory: Memory, ringer: Ringer, words: number, part: number): number {
  const readers = load32(memory.i32, part)
  if (readers === 0) return 0
  store32(memory.i32, part, 0)
  // atomic: as F, in the dead reader's place.
  addAtomic32(memory.i32, words + fields.departures, 1)
  ringAll(memory, ringer, words + fields.waiters)
  return readers
}
