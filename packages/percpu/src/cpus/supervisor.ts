/**
 * Supervision: when a worker's thread ends, for whatever reason, its CPU becomes free again.
 *
 * A thread can end between any two of its writes and tells nobody. What does tell (worker-end.ts)
 * means that it writes no more. From then on its record is the reaper's.
 *
 *     cpu.thread    key ──takeOver──▶ -reaper ──takeOver──▶ -next reaper … ──release──▶ 0
 *
 * The reaper is a thread as well and may end at any point. Each step of reaping can be repeated,
 * and the number is given back last. So the reaper of a reaper finds the CPUs that it was cleaning
 * up after: their `thread` is minus its key. It takes them over by the same compare-and-exchange,
 * and starts again from the first step. Of two supervisors one wins the exchange, and the other one
 * leaves the CPU alone.
 *
 *     cpu.parent    the key of the thread that started the CPU's thread
 *
 * A supervisor that blocks hears no event. Where the operating system tells that a thread has ended
 * (machine/os-thread.ts), its blocking calls look for that now and then, and clean up at once.
 *
 * A thread ends with the thread that started it, and its starter, who alone heard of its end, is
 * gone. So who reaps a thread reaps those that it had started as well, and theirs.
 *
 * All of them are recovered before any user is told: a user's callback may wait for what another
 * one of them held, and nobody else would give that back. A supervisor that blocks in the middle of
 * something, such as a section, tells its users later, when the synchronous stretch is over.
 *
 * A thread that waits for a lock of a layer is in the middle of a change of shared memory. It frees
 * no more than the dead CPU's locks of layers then, as its reaper, and hands the number back. So
 * whoever supervises the dead thread does the other steps. The thread that waited does them if
 * nobody has, when it blocks elsewhere, or when the synchronous stretch is over.
 */
import { storeAtomic32 } from '#mem'
import { finishCall } from './call-records.js'
import { CLAIMING, type CpuTable } from './cpu-table.js'
import { REASON_WAKE, Ringer } from './ringer.js'
import { HotplugError } from '../machine/errors.js'
import type { AttachedLayer, Recovery } from './layer.js'
import { RcuTree } from './rcu-tree.js'
import { Cpu } from '../machine/layouts.js'
import { MASK_WORDS } from '../machine/limits.js'
import { host, reportError } from '../machine/platform.js'
import { ensureStack, MANY } from '../stack.js'
import type { Invitation } from './invitation.js'
import { endOf, type AnyWorker } from './worker-end.js'

/** What `machine.supervise` returns. */
export interface Supervision {
  /**
   * Resolves after the worker has ended and been cleaned up after. It gives the CPU that the worker
   * held, none if it never joined, and those of other dead threads that the worker had begun to
   * clean up after. Without those that another thread has cleaned up after before.
   *
   * In browsers a worker that was terminated before it joined leaves no trace: this resolves only
   * if it was terminated by {@link terminate}.
   */
  readonly reaped: Promise<readonly number[]>
  /** Terminates the worker, at any instruction. As `reaped`. */
  readonly terminate: () => Promise<readonly number[]>
}

/** A CPU that this thread cleans up after. */
interface Dead {
  readonly cpu: number
  readonly incarnation: number
  /** Its thread had begun this incarnation, and had not ended it. */
  readonly hasDied: boolean
}

/**
 * Runs the users' `dead` callbacks. A thread that has gone offline itself has none, and still
 * supervises.
 */
export type DeadCallback = (cpu: number, incarnation: number) => void

/** Frames that are made sure of before anybody is taken over. */
const CLEANING_UP = 2 * MANY

/**
 * The table given must stay usable as long as the thread lives, also when its own CPU goes offline.
 */
export class Supervisor {
  /** By their keys, those that have not exited, and the CPUs that were reaped before they did. */
  readonly #supervised = new Map<number, number[]>()
  readonly #table: CpuTable
  readonly #ringer: Ringer
  readonly #tree: RcuTree
  readonly #key: number
  readonly #layers: readonly AttachedLayer[]
  readonly #onDead: DeadCallback
  /** Recovered, and their users not told yet. */
  readonly #untold: Dead[] = []
  /** Keys of ended threads whose locks of layers this one has freed. */
  readonly #rescued: number[] = []

  constructor(table: CpuTable, key: number, layers: readonly AttachedLayer[], onDead: DeadCallback) {
    this.#table = table
    this.#ringer = new Ringer(table)
    this.#tree = new RcuTree(table, this.#ringer)
    this.#key = key
    this.#layers = layers
    this.#onDead = onDead
  }

  supervise(worker: AnyWorker, invitation?: Invitation): Supervision {
    const end = endOf(worker, invitation, this.#table.map.id)
    const { key } = end
    const early = this.#supervised.get(key) ?? []
    let resolve: (cpus: readonly number[]) => void = () => undefined
    const reaped = new Promise<readonly number[]>((resolved) => (resolve = resolved))
    // First: if it throws, nothing is supervised.
    end.listen(() => {
      this.#supervised.delete(key)
      this.#tellUsers()
      resolve([...early, ...this.reapAll(key)])
    })
    this.#supervised.set(key, early)
    const terminate = (): Promise<readonly number[]> => {
      end.terminate()
      return reaped
    }
    return { reaped, terminate }
  }

  /** Workers that this thread supervises and that have not exited, as far as it has heard. */
  get supervised(): number {
    return this.#supervised.size
  }
  /** Whether this thread is yet to look after others whose locks of layers it has freed. */
  get hasRescued(): boolean {
    return this.#rescued.length > 0
  }
  /**
   * In the middle of a change of a layer: frees the locks of layers of this CPU, if its thread has
   * ended, whoever supervises it. The rest is done later: by its supervisor, or by this thread.
   */
  rescue(cpu: number): void {
    // Before the system is asked: a file that is not found because the stack is full means an end.
    ensureStack(MANY)
    const holder = this.#table.thread(cpu)
    // The thread, or else the reaper that has ended before it was done.
    const key = Math.abs(holder)
    if (holder === 0 || !this.#hasEnded(key)) return
    this.#rescued.push(key)
    // Mutant: cpus/rescued-left.
    host.queueMicrotask(() => this.#finishRescued(false))
    if (!this.#table.takeOver(cpu, holder, this.#key)) return
    try {
      // Locks last: what the layers above find out first hangs on whose the locks are.
      this.#step([...this.#layers].reverse(), 'rescue', this.#recovery(this.#found(cpu)))
    } finally {
      // Who supervises the thread may come before this one does. Mutant: cpus/rescued-kept.
      this.#table.handBack(cpu, holder, this.#key)
    }
  }
  #finishRescued(isQuiet: boolean): void {
    ensureStack(CLEANING_UP)
    for (const key of this.#rescued.splice(0)) {
      const dead = this.#takeOver(key)
      this.#cleanUp(dead, isQuiet)
    }
  }
  /**
   * Cleans up after supervised workers that have ended, as the operating system says, whether or
   * not their event has come. `isQuiet`: users are told later, and the numbers become free later.
   */
  tend(isQuiet: boolean): void {
    ensureStack(CLEANING_UP)
    if (!isQuiet) this.#tellUsers()
    this.#finishRescued(isQuiet)
    const ended = [...this.#supervised].filter(([key]) => this.#hasEnded(key))
    this.#cleanUp(
      ended.flatMap(([key]) => this.#takeOver(key)),
      isQuiet,
    )
  }
  /** As {@link tend}, after those of the threads that are these CPUs, whoever supervises them. */
  reap(cpus: readonly number[], isQuiet: boolean): void {
    for (const cpu of cpus) {
      ensureStack(CLEANING_UP)
      // The thread, or else the reaper that has ended before it was done.
      const key = Math.abs(this.#table.thread(cpu))
      if (key !== 0 && this.#hasEnded(key)) this.#cleanUp(this.#takeOver(key), isQuiet)
    }
  }
  /** Certainly. */
  #hasEnded(key: number): boolean {
    const table = this.#table
    const hasEnded = (cpu: number): boolean => table.thread(cpu) === key && table.osState(cpu, key) === 'gone'
    return table.select(hasEnded).length > 0
  }

  /**
   * Cleans up after the dead thread `key`: the CPUs that it held, and those that it was cleaning up
   * after. Returns those that this call took over, not those that another supervisor did.
   */
  reapAll(key: number): readonly number[] {
    // Once they are taken over, nobody else would do it.
    ensureStack(CLEANING_UP)
    const dead = this.#takeOver(key)
    this.#cleanUp(dead, false)
    return dead.map(({ cpu }) => cpu)
  }

  /**
   * The CPUs of a dead thread, and of those that ended with it. They are this thread's now. If it
   * supervises that thread, and has not heard of its end, they belong to the `reaped` of that.
   */
  #takeOver(key: number): readonly Dead[] {
    const { children, claimed } = this.#adoptChildren(key)
    const held = (holder: number): readonly number[] =>
      this.#table.select((cpu) => this.#table.takeOver(cpu, holder, this.#key))
    // CPUs that it left half cleaned up come first: another CPU may wait for a lock of theirs.
    const own = [...held(-key), ...held(key), ...held(key + CLAIMING), ...claimed]
    const ended = children.flatMap((child) => this.#takeOver(child))
    const dead = [...own.map((cpu) => this.#found(cpu)), ...ended]
    // Mutant: cpus/reaped-untold.
    this.#supervised.get(key)?.push(...dead.map(({ cpu }) => cpu))
    return dead
  }
  #found(cpu: number): Dead {
    const incarnation = this.#table.incarnation(cpu)
    // In state offline nobody died in this incarnation. Either the thread ended before it began its
    // own one, or a reaper ended when it had cleaned up all but the number. The state stays, for
    // the reaper after this one.
    return { cpu, incarnation, hasDied: this.#table.state(cpu) !== 'offline' }
  }

  /**
   * The threads that the dead thread had started; they have ended with it. From now on they count
   * as this thread's: if it ends before it has reaped them, its reaper does. A number that is being
   * claimed may be taken, also if its thread lives: it claims another one then. So it is if the
   * parent is not written yet.
   */
  #adoptChildren(key: number): { readonly children: readonly number[]; readonly claimed: readonly number[] } {
    const children: number[] = []
    const claimed: number[] = []
    for (let cpu = 0; cpu < this.#table.map.cpus; cpu++) {
      const child = this.#table.thread(cpu)
      const parent = this.#table.parent(cpu)
      const isClaiming = this.#table.isClaiming(child)
      if (child <= 0 || (parent !== key && !(isClaiming && parent === 0))) continue
      if (isClaiming) {
        // Mutant: cpus/claiming-children-left.
        if (this.#table.takeOver(cpu, child, this.#key)) claimed.push(cpu)
        // It has confirmed its claim meanwhile. By then its parent is written: look again.
        else cpu--
        continue
      }
      // The parent that stood there is the child's only if the number is still the child's.
      if (this.#table.thread(cpu) !== child) continue
      this.#table.adopt(cpu, key, this.#key)
      children.push(child)
    }
    return { children, claimed }
  }

  #cleanUp(dead: readonly Dead[], isQuiet: boolean): void {
    for (const each of dead) this.#recover(each, isQuiet)
    if (!isQuiet) {
      // Mutant: cpus/told-before-recovered.
      for (const each of dead) this.#release(each)
      return
    }
    if (dead.length === 0) return
    this.#untold.push(...dead)
    host.queueMicrotask(() => this.#tellUsers())
  }
  /** Ends the cleaning-up of those that were recovered quietly. */
  #tellUsers(): void {
    for (let each = this.#untold.shift(); each; each = this.#untold.shift()) this.#release(each)
  }

  #recovery({ cpu, incarnation }: Dead, isQuiet = false): Recovery {
    const recovery = { table: this.#table, ringer: this.#ringer, cpu, incarnation }
    return isQuiet ? { ...recovery, tell: (users) => host.queueMicrotask(users) } : recovery
  }
  /** What the dead CPU held is free. */
  #recover(dead: Dead, isQuiet: boolean): void {
    const { cpu, incarnation, hasDied } = dead
    if (hasDied) this.#table.setState(cpu, incarnation, 'dead')
    this.#ringer.wakeWaiters(cpu)
    this.#wakeEverybody(cpu)
    if (hasDied) {
      // Grace periods wait for the dead CPU until all is put right: what it had found, and what the
      // layers find now, is not freed. This thread may be idle, or no CPU. Mutant:
      // cpus/recovers-unseen.
      this.#tree.hold(cpu)
      const recovery = this.#recovery(dead, isQuiet)
      this.#step(this.#layers, 'examine', recovery)
      this.#step(this.#layers, 'recover', recovery)
    }
    this.#tree.deactivate(cpu)
    this.#tree.drive()
  }
  /** Users are told, and the number is free. */
  #release(dead: Dead): void {
    const { cpu, incarnation, hasDied } = dead
    try {
      if (hasDied) this.#onDead(cpu, incarnation)
    } catch (error) {
      reportError(error)
    }
    // This thread may have been declared dead by mistake: then its reaper has done so, and the
    // number may be another thread's. Mutant: cpus/released-for-another.
    if (this.#table.thread(cpu) !== -this.#key) return
    this.#clearRecord(cpu)
    this.#step([...this.#layers].reverse(), 'release', this.#recovery(dead))
    this.#table.release(cpu)
  }

  /**
   * Every layer, whatever others throw: a number that is never given back would help nobody. A step
   * that throws is repeated once: what it had not come to is not lost. Mutant: cpus/step-once.
   */
  #step(
    layers: readonly AttachedLayer[],
    step: 'rescue' | 'examine' | 'recover' | 'release',
    recovery: Recovery,
  ): void {
    const { cpu, incarnation } = recovery
    for (const layer of layers) {
      if (attempt(() => layer[step]?.(recovery)) === undefined) continue
      const failure = attempt(() => layer[step]?.(recovery))
      if (failure === undefined) continue
      reportError(
        new HotplugError(
          `cleaning up after CPU ${cpu} failed in layer ${layer.name}; the others went on`,
          { failed: [layer.name], cpu, incarnation },
          { cause: failure.error },
        ),
      )
    }
  }

  /**
   * The dead thread may have taken a CPU off a list of waiters, and not rung it yet. The dead CPU
   * is rung, too: if it was declared dead by mistake, its thread finds out.
   */
  #wakeEverybody(dead: number): void {
    this.#ringer.ring(dead, REASON_WAKE)
    for (const cpu of this.#table.select((other) => other !== dead && this.#table.thread(other) !== 0)) {
      this.#ringer.ring(cpu, REASON_WAKE)
    }
  }

  #clearRecord(cpu: number): void {
    const { i32 } = this.#table.memory
    const record = this.#table.record(cpu)
    // atomic: the dead thread's waits; a ring of the next incarnation for one of them does nothing.
    for (let i = 0; i < MASK_WORDS; i++) storeAtomic32(i32, record + Cpu.words.waiters + i, 0)
    finishCall(this.#table, cpu)
  }
}

/** What it throws. */
function attempt(run: () => void): { readonly error: unknown } | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return { error }
  }
}
