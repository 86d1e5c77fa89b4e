/**
 * Grace periods: wait until every CPU has passed a quiescent state, so that nobody still reads what
 * was unlinked before. (After the kernel's sched RCU. The read-modify-writes at the sequence and at
 * the masks of the leaves are what makes RCU over plain accesses match LKMM.)
 *
 * A synchronous stretch of JavaScript is a read section without a lock. A CPU is quiescent between
 * two of them: when it answers its bell, in a job of its own, polls, goes idle, or leaves. How all
 * the CPUs' quiescent states become the end of a grace period is in rcu-tree.ts.
 *
 * Each grace period serves all who asked for it before it began. Who calls `synchronize` takes a
 * cookie, and waits until the sequence has come so far. The caller's own CPU is quiescent as soon
 * as its promise is awaited, at the latest: it reports in a microtask.
 *
 * Guarantees, all of them for plain words:
 *
 * GP-1: all reads of a section that began before `synchronize` was called have ended when it
 * resolves, and happen before what follows.
 * GP-2: a section that begins after it resolved sees what was written before it was called.
 * GP-3: two grace periods, one called after the other resolved, are ordered: both begin and end
 * with read-modify-writes of one word.
 *
 * What it does not do: protect a section that awaits, which ends at its first await. Nor does it
 * see through a CPU whose thread died unsupervised: it waits, so give it a timeout.
 */
import type { CpuTable } from './cpu-table.js'
import type { Doorbell } from './doorbell.js'
import { RcuTree } from './rcu-tree.js'
import { REASON_QUIESCE } from './ringer.js'
import { isDoneExact, periodsOf } from './sequence.js'
import { SCHED, STALL_TIMEOUT, StallWatch, type Sleep, type StallSource } from './stall.js'
import { UnansweredError } from '../machine/errors.js'
import { host, reportError } from '../machine/platform.js'
import { Deadline } from '../machine/wait-options.js'

export class GracePeriods {
  readonly #tree: RcuTree
  readonly #doorbell: Doorbell
  readonly #cpu: number
  /** Replaced when it changes: a hook may end another one. */
  #hooks: readonly (() => void)[] = []
  readonly #stallSource: StallSource
  /** Of all kinds of grace periods that this thread waits for. */
  readonly stalls: StallWatch
  #isActive = false

  /** `stallTimeout`: ms. */
  constructor(table: CpuTable, doorbell: Doorbell, cpu: number, stallTimeout = STALL_TIMEOUT) {
    this.#tree = new RcuTree(table, doorbell.ringer)
    this.#doorbell = doorbell
    this.#cpu = cpu
    this.stalls = new StallWatch(stallTimeout)
    this.#stallSource = {
      domain: undefined,
      key: SCHED,
      progress: () => this.#tree.sequence,
      late: () => ({ cpus: this.#tree.late(), handedOver: 0 }),
    }
    doorbell.on(REASON_QUIESCE, () => this.report())
  }

  /**
   * Calls `hook` in each quiescent state of this CPU, before others hear of it, and when the CPU
   * goes idle, or comes back. It is called after the CPU has found the grace period that it reports
   * for, so it finds what was written before that. What it finds then, every grace period that ends
   * later has waited for. Returns a function that ends it.
   */
  onQuiescent(hook: () => void): () => void {
    const own = (): void => hook()
    this.#hooks = [...this.#hooks, own]
    return () => {
      this.#hooks = this.#hooks.filter((other) => other !== own)
    }
  }

  /** This CPU is quiescent right now. */
  report(): void {
    // It may have left between a ring and the answer, or a microtask.
    if (!this.#isActive) return
    this.#tree.report(this.#cpu, this.#callHooks)
  }

  /** This CPU may read from now on, and has read nothing yet. */
  comeOnline(): void {
    this.#isActive = true
    this.#tree.activate(this.#cpu, this.#callHooks)
  }
  /** From now on this CPU reads nothing, until {@link comeBack}. */
  goIdle(): void {
    this.#callHooks()
    this.#leave()
  }
  comeBack(): void {
    this.comeOnline()
  }
  /** This CPU leaves the machine. */
  leave(): void {
    this.#leave()
  }
  /** It was declared dead by mistake: from now on nothing is reported in its name. */
  abandon(): void {
    this.#isActive = false
  }

  /** As {@link RcuTree.isActive}. */
  isActive(cpu: number): boolean {
    return this.#tree.isActive(cpu)
  }

  /** The cookie of a grace period that begins after now, which somebody else may ask for. */
  snap(): number {
    return this.#tree.snap()
  }
  /** Sees to it that the grace period of a cookie comes. */
  request(cookie: number, isExpedited = false): void {
    if (!this.#tree.request(cookie, this.#cpu, isExpedited)) return
    // This CPU reports for it after the caller's synchronous stretch, or when it polls in it.
    this.#doorbell.oweOwn(REASON_QUIESCE)
    host.queueMicrotask(() => {
      this.#doorbell.settleOwn(REASON_QUIESCE)
      this.report()
    })
  }
  /** Rings at once all CPUs that grace periods wait for which somebody has asked for. */
  expedite(): void {
    this.#tree.expedite()
  }
  /** Whether the grace period of a cookie of late has ended. */
  isDone(cookie: number): boolean {
    return this.#tree.isDone(cookie)
  }
  /** As {@link isDone}, of a cookie of any age. Also true for `COMPLETED`. */
  poll(cookie: number): boolean {
    return isDoneExact(this.#tree.sequence, cookie)
  }

  /** @throws UnansweredError at the deadline; the reason of its signal. */
  async synchronize(deadline = new Deadline(), isExpedited = false): Promise<void> {
    const cookie = this.snap()
    this.request(cookie, isExpedited)
    await this.whenDone(cookie, deadline)
  }

  /**
   * Resolves when the grace period of a cookie of late has ended, which was requested before.
   *
   * @throws as {@link synchronize}.
   */
  async whenDone(cookie: number, deadline = new Deadline()): Promise<void> {
    // By then this CPU has reported for a grace period that it began itself.
    await Promise.resolve()
    const unwatch = this.stalls.watch(this.#stallSource)
    try {
      if (await this.#doorbell.until([this.#tree.waiters], () => this.isDone(cookie), deadline)) return
    } finally {
      unwatch()
    }
    if (!this.isDone(cookie)) throw this.#late(deadline)
  }

  /**
   * As {@link synchronize}, for a thread that may block. `sleep` blocks until `done` holds, as an
   * idle CPU; false at the deadline.
   */
  synchronizeBlocking(sleep: Sleep, deadline: Deadline, isExpedited = false): void {
    if (this.block(this.snap(), sleep, deadline, isExpedited)) return
    throw this.#late(deadline, this.stalls.warning())
  }
  /** As {@link synchronizeBlocking}, for the grace period of a cookie; false at the deadline. */
  block(cookie: number, sleep: Sleep, deadline: Deadline, isExpedited = false): boolean {
    this.#tree.request(cookie, this.#cpu, isExpedited)
    this.report()
    const isDone = (): boolean => {
      this.#doorbell.enter(this.#tree.waiters)
      return this.isDone(cookie)
    }
    const watched = this.stalls.sleeping(this.#stallSource, sleep)
    try {
      return watched.sleep(isDone, deadline)
    } finally {
      watched.end()
    }
  }

  /** How far grace periods are, and who holds up the one under way: for watchers. */
  inspect(): { readonly ended: number; readonly isWanted: boolean; readonly cpus: readonly number[] } {
    const { sequence, isWanted } = this.#tree
    return { ended: periodsOf(sequence), isWanted, cpus: this.#tree.late() }
  }

  #leave(): void {
    this.#isActive = false
    this.#tree.deactivate(this.#cpu)
    this.#doorbell.ringer.wakeWaiters(this.#cpu)
  }

  readonly #callHooks = (): void => {
    for (const hook of this.#hooks) {
      try {
        hook()
      } catch (error) {
        // What it throws must hold up no grace period.
        reportError(error)
      }
    }
  }

  #late({ timeout }: Deadline, warning = ''): UnansweredError {
    const cpus = this.#tree.late()
    return new UnansweredError(
      `no grace period: CPU ${cpus.join(', ')} did not return to its event loop; let long loops call machine.poll(), and ` +
        `supervise workers so that dead ones are noticed${warning}`,
      { cpus, timeout },
    )
  }
}
