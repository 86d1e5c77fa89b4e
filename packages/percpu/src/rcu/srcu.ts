/**
 * SRCU: read sections that may await, and grace periods that wait for them. (After the
 * kernel's sleepable RCU.)
 *
 *     reader    rank = that of `sequence`; locks[rank]++ … reads, awaits … unlocks[rank]++
 *     updater   unlinks; asks for a grace period; frees when that is over
 *     grace period
 *       scan 1  until the rank that new readers do not use has as many unlocks as locks
 *       flip    `sequence` goes on: new readers use that rank from now on
 *       scan 2  until the other rank has as many unlocks as locks
 *
 * The rank is a function of `sequence` (cpus/sequence.ts). So one compare-and-exchange flips it,
 * and nobody can die in the middle. A scan sums the unlocks first: each unlock that it counts has
 * its lock counted. If the sums are equal, all sections counted have ended.
 *
 * Why two scans. A reader may find its rank, and count itself much later, when that rank is not the
 * current one any more. Whatever rank it is, one of the two scans looks at it. A section that began
 * before the grace period did is counted by that scan, and waited for. One that a scan does not
 * count finds what was written before the grace period. The flip only sees to it that the second
 * scan ends: else new readers could keep it busy for ever.
 *
 * Guarantees, for plain words too:
 *
 * SRCU-1: all sections that began before `synchronize` was called have ended when it resolves, and
 * their reads happen before what follows.
 * SRCU-2: a section that begins after it resolved finds what was written before it was called.
 * SRCU-3: two grace periods of a domain are ordered. Domains know nothing of each other.
 *
 * Progress: readers are wait-free. A grace period takes as long as the sections that it waits for.
 *
 * A dead CPU's sections are ended by its reaper, except those that it handed over. A CPU that goes
 * offline has them ended too, and is told.
 */
import type { OwnCpu } from '../cpus/own-cpu.js'
import { COMPLETED, isDone, isDoneExact } from '../cpus/sequence.js'
import type { Sleep, StallSource } from '../cpus/stall.js'
import type { UnansweredError } from '../machine/errors.js'
import { checkFunction, shown } from '../machine/check.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { SelfDeadlockError } from '../sync/errors.js'
import type { Callbacks } from './callbacks.js'
import { checkCookie } from './cookies.js'
import type { Callback } from './functions.js'
import {
  queueCall,
  queueCallBlocking,
  queueFree,
  queueFreeBlocking,
  type Freeable,
  type Queueing,
} from './queueing.js'
import type { GracePeriodSource } from './source.js'
import type { SrcuCallbacks } from './srcu-callbacks.js'
import { SrcuDriver, type SrcuScans } from './srcu-driver.js'
import { busyError, PATIENCE, refuse, whyBusy } from './srcu-cleanup.js'
import { lateError, SrcuMisuseError, type SrcuBusyError } from './srcu-errors.js'
import { SrcuSection } from './srcu-section.js'
import type { SrcuTree } from './srcu-tree.js'
import type { SrcuWords } from './srcu-words.js'
import { showAs } from '../inspect.js'
import { visible } from '../shown.js'
import { ensureStack, SOME } from '../stack.js'

/** How readers of a domain count themselves. */
export type SrcuFlavour = 'fast' | 'normal'

/** What a domain on one thread is made of. */
export interface SrcuParts {
  readonly name: string
  readonly words: SrcuWords
  readonly own: Pick<OwnCpu, 'cpu' | 'table' | 'doorbell' | 'gracePeriods' | 'idle' | 'patience'>
  readonly sleep: Sleep
  readonly assertMayBlock: () => void
  readonly callbacks: SrcuCallbacks
  /** After the end of the domain. */
  readonly free: () => Promise<void>
  /** Of those who wait, once the domain is big. */
  readonly tree: () => SrcuTree | undefined
  readonly grow: () => void
}

/** A domain, as one thread has it. @see srcu.ts */
export abstract class Srcu {
  static {
    showAs(this, ({ name, flavour }) => ({ name, flavour }))
  }

  readonly name: string
  abstract readonly flavour: SrcuFlavour
  /** A cookie that is always done. */
  readonly completed: number = COMPLETED
  /** @internal */
  readonly words: SrcuWords
  protected readonly parts: SrcuParts
  readonly #stallSource: StallSource
  #opened: SrcuDriver | undefined
  readonly #ends: (() => void)[] = []
  #hasEnded = false

  /** @internal `machine.srcu` */
  constructor(parts: SrcuParts) {
    this.name = parts.name
    this.words = parts.words
    this.parts = parts
    this.#stallSource = {
      domain: parts.name,
      key: parts.words.words,
      progress: () => this.words.sequence,
      late: () => this.#readers(),
    }
  }

  /**
   * Begins a read section, and returns its token, 0 or 1. It may last across awaits; any number may
   * be under way, and end in any order.
   *
   * @throws SrcuMisuseError in a fast domain on a CPU that is deaf; OfflineError.
   */
  abstract readLock(): number
  /**
   * Ends a section of this thread, by its token.
   *
   * @throws SrcuMisuseError for what is no token, and if it is found that no such section is under
   *   way; OfflineError.
   */
  abstract readUnlock(token: number): void
  /** As {@link readLock}, for a section that another thread may end. */
  abstract downRead(): number
  /**
   * Ends a section that {@link downRead} began, on any thread.
   *
   * @throws SrcuMisuseError for what is no token; OfflineError.
   */
  abstract upRead(token: number): void

  /**
   * A read section, to be declared with `using`.
   *
   * @throws as {@link readLock}.
   */
  section(): SrcuSection {
    let token = 0
    // Made before: once it has begun, there must be somebody to end it.
    const section = new SrcuSection(() => this.readUnlock(token))
    token = this.readLock()
    return section
  }
  /**
   * Runs `work` in a read section, which ends when its promise settles.
   *
   * @throws what `work` throws; else as {@link readLock}; ArgumentError.
   */
  async protect<Result>(work: () => Promise<Result> | Result): Promise<Result> {
    checkFunction('work', work)
    // If `work` throws, the section ends at this depth.
    ensureStack(SOME)
    const token = this.readLock()
    try {
      return await work()
    } finally {
      this.readUnlock(token)
    }
  }

  /**
   * A grace period: resolves when every section that was under way has ended. Inside a section of
   * the same domain it would wait for itself.
   *
   * @throws UnansweredError at the end of `timeout`, naming CPUs with sections under way; the
   *   reason of `signal` when it aborts; ArgumentError; OfflineError.
   */
  async synchronize(options: WaitOptions = {}): Promise<void> {
    await this.#synchronize(options, false)
  }
  /** As {@link synchronize}, in a hurry: other CPUs are disturbed for it. */
  async synchronizeExpedited(options: WaitOptions = {}): Promise<void> {
    await this.#synchronize(options, true)
  }
  async #synchronize(options: WaitOptions, isUrgent: boolean): Promise<void> {
    checkWait(options)
    const expedited = isUrgent || this.isQuiet?.() === true
    const cookie = this.words.snap()
    this.words.request(cookie, expedited)
    const deadline = new Deadline(options)
    const unwatch = this.parts.own.gracePeriods.stalls.watch(this.#stallSource)
    try {
      if (await this.driver.wait(cookie, deadline, expedited)) return
    } finally {
      unwatch()
    }
    throw this.#late(deadline.timeout)
  }
  /**
   * As {@link synchronize}, and blocks the thread, which counts as idle meanwhile.
   *
   * @throws as {@link synchronize}; SelfDeadlockError if this CPU has sections of this domain under
   *   way; UnsupportedError where a thread must not block.
   */
  synchronizeBlocking(options: WaitOptions = {}): void {
    checkWait(options)
    const deadline = new Deadline(options)
    if (!this.#block(this.words.snap(), deadline, false))
      throw this.#late(deadline.timeout, this.parts.own.gracePeriods.stalls.warning())
  }
  #block(cookie: number, deadline: Deadline, expedited: boolean): boolean {
    // Before anything is wanted that nobody would drive. Mutant: rcu/srcu-block-wanted-early.
    this.parts.assertMayBlock()
    const own = this.words.openOf(this.parts.own.cpu)
    if (own !== 0)
      throw new SelfDeadlockError(
        `${visible(this.name)}: this CPU has sections under way (${own}), which cannot end while it blocks`,
        { name: this.name, sections: own },
      )
    this.words.request(cookie, expedited)
    const { sleep, end } = this.parts.own.gracePeriods.stalls.sleeping(this.#stallSource, this.parts.sleep)
    try {
      return this.driver.block(cookie, deadline, sleep)
    } finally {
      end()
    }
  }

  /** The cookie of a grace period that would do now; starts none. @throws OfflineError. */
  getState(): number {
    return this.words.snap()
  }
  /** As {@link getState}, and starts that grace period. @throws OfflineError. */
  startPoll(): number {
    const cookie = this.words.snap()
    this.#request(cookie)
    return cookie
  }
  /**
   * Whether a cookie's grace period is over. True for about 2^29 grace periods; cookies of longer
   * ago may need one or two more.
   *
   * @throws ArgumentError for what is no cookie; OfflineError.
   */
  poll(cookie: number): boolean {
    checkCookie(cookie)
    if (isDoneExact(this.words.sequence, cookie)) return true
    // Whoever started it may be gone.
    if (isDone(this.words.needed, cookie)) this.driver.help(cookie)
    return false
  }
  /** Hurries the grace period that is under way or asked for. @throws OfflineError. */
  expediteCurrent(): void {
    const { needed } = this.words
    if (!this.words.isWanted) return
    this.words.request(needed, true)
    this.driver.help(needed, true)
    this.hurry?.()
  }

  /**
   * Frees memory after a grace period of this domain, as `machine.rcu.free` does: also if this
   * thread dies. The first call in a domain, by whatever thread, takes memory for it.
   *
   * Resolves at once, or, if too much is pending, when less is.
   *
   * @throws OutOfMemoryError if there is none for the first call; else as `machine.rcu.free`.
   *   Nothing is changed then.
   */
  free(what: Freeable): Promise<void> {
    return queueFree(this.parts.callbacks.use(), what)
  }
  /**
   * Calls `callback` after a grace period of this domain, as `machine.rcu.call` does: on this
   * thread, in order. It may be called inside a section of the domain.
   *
   * @throws as {@link free}; ArgumentError.
   */
  call(callback: Callback): Promise<void> {
    return queueCall(this.parts.callbacks.use(), callback)
  }
  /**
   * As {@link free}, and blocks the thread while too much is pending, as `machine.rcu.freeBlocking`
   * does.
   *
   * @throws SelfDeadlockError if it has to wait, and this CPU has sections of this domain under
   *   way; else as {@link free} and `machine.rcu.freeBlocking`. Nothing is changed then.
   */
  freeBlocking(what: Freeable, options?: WaitOptions): void {
    queueFreeBlocking(this.parts.callbacks.use(), what, options)
  }
  /** As {@link call}, and blocks as {@link freeBlocking}. */
  callBlocking(callback: Callback, options?: WaitOptions): void {
    queueCallBlocking(this.parts.callbacks.use(), callback, options)
  }
  /**
   * Resolves when everything has been freed and called that any CPU had queued for this domain
   * before, or is lost with its thread. It begins no grace period.
   *
   * @throws UnansweredError after `timeout` ms; the reason of `signal` when that aborts;
   *   ArgumentError; OfflineError, also if this CPU goes offline before its own functions were
   *   called.
   */
  async barrier(options: WaitOptions = {}): Promise<void> {
    await this.parts.callbacks.barrier(options)
  }
  /**
   * As `machine.rcu.barrierBlocking`, for what this thread has queued for this domain.
   *
   * @throws SelfDeadlockError if it has to wait, and this CPU has sections of this domain under
   *   way; else as `machine.rcu.barrierBlocking`.
   */
  barrierBlocking(options: WaitOptions = {}): void {
    this.parts.callbacks.barrierBlocking(options)
  }

  /**
   * Ends the domain: nobody will use it any more. Then the memory of its parts is freed. Its name,
   * if it has one, is free again. This object throws from now on, whatever is called. Other threads
   * must not use theirs.
   *
   * @throws SrcuBusyError while there are sections, callbacks, or a grace period that is wanted;
   *   UnansweredError or SrcuBusyError at the end of `timeout`, the reason of `signal` when it
   *   aborts: nothing is freed then. UnansweredError if a CPU is not done with it `stallTimeout`
   *   after it has ended: it leaks. SrcuMisuseError if another call has ended it; ArgumentError;
   *   OfflineError.
   */
  async cleanup(options: WaitOptions = {}): Promise<void> {
    checkWait(options)
    this.#checkBusy(true)
    const deadline = new Deadline(options)
    for (const rank of [0, 1])
      if (!(await this.scans.scan(rank, deadline))) throw this.#busy('a section has begun meanwhile')
    const { callbacks } = this.parts
    const timeout = Math.min(PATIENCE, deadline.left)
    const [late] = await callbacks.settle(new Deadline({ ...deadline.rest, timeout }))
    if (late !== undefined) throw this.#busy(`CPU ${late} has not got done with callbacks`)
    const { name } = this
    const makeError = (): Error =>
      new SrcuMisuseError(`${visible(name)}: this domain was cleaned up`, { name })
    // Meanwhile somebody may have come, or another call was faster.
    if (this.#hasEnded) throw makeError()
    this.#checkBusy(false)
    this.#hasEnded = true
    refuse(this, makeError)
    this.close(makeError())
    await this.parts.free()
  }
  #checkBusy(isFirst: boolean): void {
    const reason = whyBusy(this.words, this.parts.callbacks.pending, isFirst)
    if (reason !== undefined) throw this.#busy(reason)
  }
  #busy(reason: string): SrcuBusyError {
    return busyError(this.name, this.words, reason)
  }
  /**
   * @internal What `free` queues with; it makes the lists of callbacks.
   *
   * @throws as {@link free}.
   */
  get queueing(): Queueing {
    return this.parts.callbacks.use()
  }
  /** @internal What looks after its lists of callbacks, which there are. @throws OfflineError. */
  get callbacks(): Callbacks {
    return this.parts.callbacks.use().callbacks
  }
  /** @internal For lists of callbacks. */
  get source(): GracePeriodSource {
    return {
      snap: () => this.words.snap(),
      isDone: (cookie) => isDone(this.words.sequence, cookie),
      request: (cookie, expedited) => this.#request(cookie, expedited),
      whenDone: async (cookie) => {
        this.words.request(cookie, false)
        await this.driver.wait(cookie, new Deadline())
      },
      block: (cookie, _sleep, deadline, expedited) => this.#block(cookie, deadline, expedited),
    }
  }
  /** Hurries what a scan waits for that is under way. */
  protected hurry?(): void
  /** Whether a grace period may be hurried although nobody asked for that: it disturbs nobody. */
  protected isQuiet?(): boolean
  /** @internal Lets many CPUs wait at little cost: srcu-tree.ts. */
  grow(): void {
    this.parts.grow()
  }
  /** @internal This CPU goes offline: another one goes on with what it was driving. */
  handOver(): void {
    this.#opened?.handOver()
  }
  /** @internal Goes on with what a dead CPU may have been driving. */
  takeOver(): void {
    if (this.words.isWanted) this.driver.help(this.words.needed)
  }
  /** @internal This CPU goes offline: all waits reject. */
  close(error: Error): void {
    for (const end of this.#ends) end()
    this.#opened?.close(error)
    this.parts.callbacks.close(error)
  }
  /** `end`: is called when this CPU goes offline. */
  protected atClose(end: () => void): void {
    this.#ends.push(end)
  }

  protected abstract readonly scans: SrcuScans
  protected get driver(): SrcuDriver {
    const { words, own, tree, grow } = this.parts
    const { cpu, table, doorbell, patience } = own
    const parts = { words, cpu, table, doorbell, patience, tree, grow }
    return (this.#opened ??= new SrcuDriver(parts, this.scans))
  }
  /** Tells waiters that a reader has left. */
  protected wake(): void {
    const { doorbell, cpu } = this.parts.own
    if (this.words.wake(doorbell.ringer, cpu)) doorbell.recheck()
  }
  protected checkToken(token: number): void {
    if (token === 0 || token === 1) return
    throw new SrcuMisuseError(`${visible(this.name)}: ${shown(token)} is no token of a section`, {
      name: this.name,
      token,
    })
  }
  /** @throws SrcuMisuseError unless this CPU has a section of that rank under way. */
  protected checkOpen(open: number, token: number): void {
    if (open > 0) return
    throw new SrcuMisuseError(
      `${visible(this.name)}: no section with token ${token} is under way on this CPU`,
      {
        name: this.name,
        token,
      },
    )
  }

  #request(cookie: number, expedited = false): void {
    this.words.request(cookie, expedited)
    this.driver.help(cookie)
  }
  /** Who has sections under way. */
  #readers(): { readonly cpus: readonly number[]; readonly handedOver: number } {
    const { parts, handedOver } = this.words
    const cpus = parts.map((_, cpu) => cpu).filter((cpu) => this.words.openOf(cpu) > 0)
    return { cpus, handedOver }
  }
  #late(timeout: number, warning = ''): UnansweredError {
    const silent = this.flavour === 'fast' ? this.parts.own.gracePeriods.inspect().cpus : []
    return lateError(this.name, { ...this.#readers(), silent }, timeout, warning)
  }
}
