/**
 * Idle stretches: a CPU that is parked in `Atomics.wait`, or deaf, reads nothing that a grace
 * period protects.
 *
 *     cpu.idle       odd inside such a stretch (as a VPA's yield_count)
 *     cpu.parkedOn   the word it sleeps on, so that a ring that needs an answer can wake it; or for
 *                    whom it sleeps on its bell, so that who rings one waiter finds one that hears
 *     cpu.deaf       1: rings are not answered before the stretch ends
 *
 * Why `idle` may wrap around: only its lowest bit is asked for, and 2^32 is even.
 */
import { addAtomic32, loadAtomic32, storeAtomic32, wait32, type WaitResult } from '#mem'
import type { Calls } from './calls.js'
import type { CpuTable } from './cpu-table.js'
import type { Doorbell } from './doorbell.js'
import { UnsupportedError } from '../machine/errors.js'
import type { GracePeriods } from './grace-period.js'
import { Cpu } from '../machine/layouts.js'
import { host } from '../machine/platform.js'
import { asleepIn } from './ringer.js'
import type { Deadline } from '../machine/wait-options.js'
import { ensureStack, MANY } from '../stack.js'

const { words } = Cpu
/** Milliseconds. */
const SLICE = 50

/** Is told of idle stretches, while they last, and by the lock layer of waits for locks. */
export interface WaitWatcher {
  /** `word`: the word index on which the CPU parks, or -1 if it goes deaf. */
  wentIdle(word: number): void
  cameBack(word: number): void
  /** A number to give to {@link lockWaited} afterwards; 0 if nobody wants to know. */
  lockWaits(): number
  /** The wait for the lock at byte address `address` is over. */
  lockWaited(address: number, begun: number, acquired: boolean): void
}

/** What a thread does for those that have ended, while it blocks. */
export interface Tending {
  /** ms; infinite if nothing is to be done, or can be. */
  interval(): number
  /** Cleans up after those that have ended. `isQuiet`: users' callbacks run later. */
  tend(isQuiet: boolean): void
  /**
   * This thread waits for a lock of a layer that is the CPU's: frees such locks if the CPU's thread
   * has ended, as far as the system tells.
   */
  rescue(cpu: number): void
}

export class Idle {
  readonly #table: CpuTable
  readonly #cpu: number
  readonly #record: number
  readonly #doorbell: Doorbell
  readonly #gracePeriods: GracePeriods
  readonly #calls: Calls
  #depth = 0
  /** What the outermost idle stretch waits for: a word index, or -1. */
  #word = -1
  /** What `cpu.parkedOn` says while the CPU is not parked. */
  #whom = -1
  /** When it tended its workers last, in ms. */
  #tendedAt = -Infinity
  /** Set by the CPU: whether the number is this thread's still; false at most once. */
  holdsNumber: () => boolean = () => true
  /** Set by the watch layer. */
  watcher: WaitWatcher | undefined
  /** Set by the machine. */
  tending: Tending | undefined
  /** Set by the RCU layer: gives what this CPU would do next to others. Called when it is idle. */
  handOver: (() => void) | undefined
  /** Set by the RCU layer: looks what others have handed over meanwhile. */
  takeBack: (() => void) | undefined

  constructor(table: CpuTable, cpu: number, doorbell: Doorbell, gracePeriods: GracePeriods, calls: Calls) {
    this.#calls = calls
    this.#table = table
    this.#cpu = cpu
    this.#record = table.record(cpu)
    this.#doorbell = doorbell
    this.#gracePeriods = gracePeriods
  }

  /** Before the CPU comes online: no stretch of an earlier incarnation is left over. */
  start(): void {
    const { i32 } = this.#table.memory
    // atomic: the CPU is not online yet; E in setState publishes these.
    storeAtomic32(i32, this.#record + words.idle, 0)
    storeAtomic32(i32, this.#record + words.parkedOn, -1)
    storeAtomic32(i32, this.#record + words.deaf, 0)
  }

  park(word: number, value: number, deadline: Deadline): WaitResult {
    this.#doorbell.answer()
    const { i32 } = this.#table.memory
    // atomic: written before the bell is read, as a ringer reads it after it rang: one of both sees
    // the other.
    storeAtomic32(i32, this.#record + words.parkedOn, word)
    this.#enter(word)
    try {
      return this.#sleep(word, value, deadline)
    } finally {
      this.#leave(word)
      // atomic: a late ring of the user's word is a spurious wake-up, which park allows.
      storeAtomic32(i32, this.#record + words.parkedOn, this.#whom)
      this.#doorbell.answer()
    }
  }

  /** Whether this thread is allowed to block. */
  mayBlock(): boolean {
    try {
      // atomic: -1 is no number of reasons, so this returns at once, where it does not throw.
      wait32(this.#table.memory.i32, this.#record + words.bell, -1, 0)
      return true
    } catch (error) {
      if (error instanceof TypeError) return false
      throw error
    }
  }

  /**
   * Sleeps on the own bell until `done()` holds (true) or until the deadline (false), as an idle
   * CPU. Whoever makes `done` hold rings this CPU afterwards. The bell is taken before `done` is
   * asked, and slept on only while nothing has been rung since: so no ring is slept over. Rings are
   * answered before each look; if `answers` is false, or an answer is under way already, they are
   * kept for later. Threads that have ended are cleaned up after all the same; then users hear of
   * their deaths later. `mask`: the word index of the mask of waiters that this CPU is in.
   */
  sleepUntil(done: () => boolean, deadline: Deadline, answers: boolean, mask?: number): boolean {
    let kept = 0
    try {
      for (;;) {
        const isFree = answers && !this.#doorbell.isMuted
        if (isFree) this.#doorbell.answer()
        else kept |= this.#doorbell.take()
        if (done()) return true
        const { left } = deadline
        if (left === 0) return false
        const interval = this.tending?.interval() ?? Infinity
        this.#sleepFor(mask === undefined ? -1 : asleepIn(mask))
        this.#sleepOnBell(Math.min(left, interval))
        this.#tend(interval, !isFree)
      }
    } finally {
      if (kept !== 0) this.#doorbell.ringer.ring(this.#cpu, kept)
    }
  }
  /** It stays until another sleep: who looks asks whether the CPU is idle first. */
  #sleepFor(whom: number): void {
    if (whom === this.#whom) return
    this.#whom = whom
    // atomic: whom to ring is a matter of speed only.
    storeAtomic32(this.#table.memory.i32, this.#record + words.parkedOn, whom)
  }

  /**
   * After a nap. Not often: neither rings nor waits of short naps make it look at each of them.
   */
  #tend(interval: number, isQuiet: boolean): void {
    if (interval === Infinity || host.performance.now() < this.#tendedAt + interval) return
    this.#tendedAt = host.performance.now()
    this.#awake(() => this.tending?.tend(isQuiet))
  }
  /** What a reaper reads is protected by grace periods, which must wait for this CPU meanwhile. */
  #awake(run: () => void): void {
    const depth = this.#depth
    if (depth === 0) {
      run()
      return
    }
    const word = this.#word
    this.#depth = 1
    this.#leave(word)
    this.#doorbell.mute(true)
    try {
      run()
    } finally {
      this.#enter(word)
      this.#depth = depth
    }
  }

  #sleepOnBell(timeout: number): void {
    this.#enter(this.#record + words.bell)
    try {
      // atomic: sleeps only while the bell is 0; what a ring brings is read after the bell was
      // taken.
      this.#wait(() => wait32(this.#table.memory.i32, this.#record + words.bell, 0, timeout))
    } finally {
      this.#leave(this.#record + words.bell)
    }
  }
  #wait(wait: () => WaitResult): WaitResult {
    try {
      return wait()
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      throw new UnsupportedError(
        'this thread must not block (the main thread of a browser page): use an async wait',
        {},
        { cause: error },
      )
    }
  }

  /**
   * A ring that comes between the look at the bell and the sleep wakes nobody: it changes another
   * word than the one slept on. So this sleeps in slices, and looks at the bell between them.
   */
  #sleep(word: number, value: number, deadline: Deadline): WaitResult {
    const { i32 } = this.#table.memory
    for (;;) {
      // atomic: a ring that came since the last answer is answered now, not slept over.
      const isRung = !this.#isBusy && loadAtomic32(i32, this.#record + words.bell) !== 0
      if (isRung) return loadAtomic32(i32, word) === value ? 'ok' : 'not-equal'
      const { left } = deadline
      const interval = this.tending?.interval() ?? Infinity
      // atomic: the user's word, and the user's protocol.
      const result = this.#wait(() => wait32(i32, word, value, Math.min(left, SLICE)))
      if (result !== 'timed-out' || left <= SLICE) return result
      this.#tend(interval, this.#isBusy)
    }
  }

  /** Whether an idle stretch is under way, in which grace periods do not wait for this CPU. */
  get isIdle(): boolean {
    return this.#depth > 0
  }

  /** In a called function, a deaf stretch or a section, nothing is answered before that ends. */
  get #isBusy(): boolean {
    return this.#depth > 1 || this.#doorbell.isAnswering || this.#doorbell.isHeldBack()
  }

  deaf<Result>(run: () => Result): Result {
    if (this.#depth > 0) return run()
    this.#doorbell.answer()
    try {
      return this.#deaf(run)
    } finally {
      this.#doorbell.answer()
    }
  }

  /**
   * As {@link deaf}, at a place that the caller has not chosen: no ring is answered there, as what
   * is being done around it may be half-done. Inside an answer calls go on to wait, as one of them
   * may be what is being run.
   */
  blocked<Result>(wait: () => Result): Result {
    if (this.#depth > 0) return wait()
    if (!this.#doorbell.isAnswering) return this.#deaf(wait)
    this.#enter(-1)
    try {
      return wait()
    } finally {
      this.#leave(-1)
    }
  }

  #deaf<Result>(run: () => Result): Result {
    // atomic: turning deaf is announced by #enter, so nobody goes on waiting for an answer.
    storeAtomic32(this.#table.memory.i32, this.#record + words.deaf, 1)
    this.#enter(-1)
    try {
      return run()
    } finally {
      this.#leave(-1)
      this.#hear()
    }
  }

  #hear(): void {
    // Y(cpu.deaf) hears again; pairs with X in #isDeaf: a caller that found this CPU deaf wrote its
    // call before this store, so the call is found below and skipped. Mutant: cpus/deaf-runs-later.
    storeAtomic32(this.#table.memory.i32, this.#record + words.deaf, 0)
    this.#calls.skipPending()
  }

  #enter(word: number): void {
    ensureStack(MANY)
    if (this.#depth++ > 0) return
    this.#word = word
    this.#doorbell.mute(true)
    // atomic: for whoever looks; grace periods go by what follows.
    addAtomic32(this.#table.memory.i32, this.#record + words.idle, 1)
    this.#gracePeriods.goIdle()
    this.handOver?.()
    this.watcher?.wentIdle(word)
  }

  #leave(word: number): void {
    if (--this.#depth > 0) return
    // Before anything is read again.
    if (this.holdsNumber()) this.#gracePeriods.comeBack()
    // atomic: as in #enter.
    addAtomic32(this.#table.memory.i32, this.#record + words.idle, 1)
    this.#doorbell.mute(false)
    this.takeBack?.()
    this.watcher?.cameBack(word)
  }
}
