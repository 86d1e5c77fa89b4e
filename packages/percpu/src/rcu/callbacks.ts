/**
 * Callbacks of one kind of grace period, on one thread: queues them, and runs what is due.
 *
 *     free, call ──▶ pump: cookies, a grace period, what is due, until nothing is left
 *
 * The pump runs as jobs of its own, so no synchronous section of this thread is under way. What is
 * queued in one stretch, or during a grace period, shares a cookie.
 *
 * It also frees for others: for CPUs that are idle, and for those that are not online. A CPU that
 * goes idle, leaves or dies with something pending sets `leftOver`, and then rings a CPU that is
 * online. A CPU that comes online, or back from an idle stretch, looks at `leftOver` after that. So
 * one of both sees the other. One that was rung and goes before it has answered rings another one.
 * A number may have a new thread before what its last one had queued is due: then that one is rung.
 * Whoever takes it looks at the lists of all kinds of grace periods (layer.ts).
 */
import { loadAtomic32, storeAtomic32, type Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Doorbell } from '../cpus/doorbell.js'
import type { Idle } from '../cpus/idle.js'
import { isDone } from '../cpus/sequence.js'
import { REASON_CALLBACKS, type Ringer } from '../cpus/ringer.js'
import type { Sleep } from '../cpus/stall.js'
import { Cpu } from '../machine/layouts.js'
import { host, nextTurn, reportError } from '../machine/platform.js'
import { Deadline } from '../machine/wait-options.js'
import { ensureStack, FEW, MANY } from '../stack.js'
import { Barrier } from './barrier.js'
import { passedOf } from './callback-list.js'
import { beginWork, endWork, hasEntries, isAtWork } from './callback-lists.js'
import { FreeQueue } from './free-queue.js'
import { FunctionQueue, type Callback } from './functions.js'
import type { ListRunner, Turn } from './list-runner.js'
import { Pressure, type Marks } from './pressure.js'
import type { GracePeriodSource } from './source.js'

/** Callbacks that are run without a pause for the event loop. */
const BATCH = 8192
/** Milliseconds after which a list is looked at again that somebody else is at. */
const LATER = 1

/** What all lists of callbacks of a thread have in common. */
export interface CallbackParts {
  readonly memory: Memory
  readonly table: CpuTable
  readonly doorbell: Doorbell
  readonly cpu: number
  readonly incarnation: number
  readonly heap: Heap
  readonly runner: ListRunner
  readonly marks: Marks
  readonly idle: Pick<Idle, 'isIdle'>
  /** Lets another CPU look at the list of this one, which is idle. */
  readonly tell: () => void
  /** Lets that CPU look at its own list. */
  readonly passOn: (cpu: number) => void
  readonly offlineError: () => Error
}

export class Callbacks {
  readonly #parts: CallbackParts
  readonly #source: GracePeriodSource
  /** Word index of each CPU's list. */
  readonly #lists: readonly number[]
  /** That of this CPU. */
  readonly #own: number
  readonly #queue: FreeQueue
  readonly #functions: FunctionQueue
  readonly #pressure: Pressure
  readonly #barrier: Barrier
  #isPumping = false
  /** Nothing is run here any more. */
  isOver = false

  /** `domain`: whose they are, for errors; undefined for sched RCU. */
  constructor(parts: CallbackParts, source: GracePeriodSource, lists: readonly number[], domain?: string) {
    this.#parts = parts
    this.#source = source
    this.#lists = lists
    const list = lists[parts.cpu] ?? 0
    this.#own = list
    this.#queue = new FreeQueue(parts.memory, parts.heap, list)
    this.#functions = new FunctionQueue(parts.memory, list)
    this.#pressure = new Pressure(parts.memory, list, parts.marks)
    // Nothing is called here any more: what is pending is lost.
    const lost = (functions: number): Error | undefined =>
      this.isOver && this.#functions.isPending(functions) ? parts.offlineError() : undefined
    this.#barrier = new Barrier(parts, lists, () => this.kick(), lost, domain)
  }

  /**
   * Queues what is to be freed. `entry`, `tag` and `units`: as for FreeQueue. Cannot fail: if there
   * is no memory for a block of the list, a function frees it. Should the thread die, that one
   * thing is lost. Resolves at once, or when less is pending again.
   */
  free(entry: number, tag: number, units: number): Promise<void> {
    this.#ensureStack()
    if (!this.#queue.push(entry, tag, units)) {
      // The thread's own memory has room. Mutant: rcu/no-room.
      if (tag !== 0) this.#parts.heap.tags.queue(tag)
      this.#functions.push(() => this.#parts.runner.freeNow(entry))
    }
    // Its own turn comes only when the idle stretch is over.
    if (this.#parts.idle.isIdle) this.#parts.tell()
    return this.#queued(units)
  }
  /** Word index of this CPU's list. */
  get list(): number {
    return this.#own
  }
  /** Takes the memory that the next {@link free} may need. False if there is none. */
  reserve(): boolean {
    return this.#queue.reserve()
  }
  /** Resolves at once, or when less is pending again. */
  get room(): Promise<void> {
    return this.#pressure.room
  }
  /** Queues a function. Resolves as {@link free}. */
  call(callback: Callback): Promise<void> {
    this.#ensureStack()
    this.#functions.push(callback)
    return this.#queued(0)
  }

  /** What is queued is looked after. Mutant: rcu/queued-too-deep. */
  #ensureStack(): void {
    ensureStack(this.#isPumping ? FEW : MANY)
  }
  #queued(units: number): Promise<void> {
    if (!this.#isPumping) this.kick()
    return this.#pressure.added(units, this.#functions.pending)
  }

  /**
   * Blocks while more is pending than the second mark says, and runs what is due meanwhile. False
   * at the deadline.
   *
   * @throws SelfDeadlockError; UnansweredError.
   */
  makeRoom(sleep: Sleep, deadline: Deadline): boolean {
    return this.#runUntil(() => !this.#pressure.isFull(this.#functions.pending), sleep, deadline)
  }
  /**
   * Blocks until all has run that this CPU had queued before. False at the deadline.
   *
   * @throws SelfDeadlockError; UnansweredError.
   */
  runQueued(sleep: Sleep, deadline: Deadline): boolean {
    const { tail } = this.#queue
    const functions = this.#functions.tail
    const { i32 } = this.#parts.memory
    // One that is under way, and calls this, is not waited for.
    const isOver = (): boolean =>
      !this.#functions.isPending(functions) && ((passedOf(i32, this.#own) - tail) | 0) >= 0
    return this.#runUntil(isOver, sleep, deadline)
  }
  /** Runs what is due, and blocks for what is not, until `isEnough`. False at the deadline. */
  #runUntil(isEnough: () => boolean, sleep: Sleep, deadline: Deadline): boolean {
    while (!isEnough()) {
      const { isTaken, isUnfinished, cookie } = this.#round()
      if (isEnough()) break
      if (isTaken) sleep(() => false, new Deadline({ timeout: Math.min(LATER, deadline.left) }))
      else if (isUnfinished) continue
      else if (cookie === undefined || !this.#source.block(cookie, sleep, deadline, true)) return false
      if (deadline.left === 0) return isEnough()
    }
    return true
  }

  /** Looks soon whether anything is pending: here, or where nobody else would look. */
  kick(): void {
    if (this.#isPumping || this.isOver) return
    this.#isPumping = true
    beginWork(this.#parts.memory, this.#own, this.#parts.incarnation)
    host.queueMicrotask(() => {
      this.#pump().catch((error: unknown) => {
        // The CPU went offline meanwhile.
        if (this.isOver) return
        this.#rest()
        reportError(error)
      })
    })
  }
  #rest(): void {
    this.#isPumping = false
    endWork(this.#parts.memory, this.#own)
    this.#wakeWaiters(this.#parts.cpu)
  }

  /** Resolves when all that was queued before, by any CPU, has run or is lost. */
  barrier(deadline: Deadline): Promise<void> {
    return this.#barrier.wait(deadline)
  }
  /**
   * As {@link barrier}, of what this CPU has queued: others may compute for long. Mutants:
   * collections/removal-waits-for-all, collections/removal-not-awaited.
   */
  ownBarrier(deadline: Deadline): Promise<void> {
    return this.#barrier.wait(deadline, true)
  }

  /**
   * Frees at once what is due, in all lists: memory runs short. Returns whether there was anything.
   */
  drain(): boolean {
    let freed = 0
    for (const [cpu, list] of this.#lists.entries()) {
      if (!hasEntries(this.#parts.memory, list)) continue
      const turn = this.#parts.runner.turn(list, this.#source, Infinity)
      freed += turn.freed
      if (turn.freed > 0) this.#wakeWaiters(cpu)
    }
    return freed > 0
  }

  /** Whether something may be pending that this thread would look after. */
  get isPumping(): boolean {
    return this.#isPumping
  }

  /**
   * Resolves when this thread has no functions left: its CPU is about to go offline. Or `isOver`
   * says that it is too late, or the deadline.
   */
  async settle(isOver: () => boolean, deadline: Deadline): Promise<void> {
    const { doorbell, table, cpu } = this.#parts
    await doorbell.until([table.waiters(cpu)], () => this.#functions.pending === 0 || isOver(), deadline)
  }

  /** The CPU goes offline: what is in shared memory is for others. Or the lists are given back. */
  close(): void {
    this.isOver = true
    if (this.#isPumping) endWork(this.#parts.memory, this.#own)
    this.#isPumping = false
  }

  async #pump(): Promise<void> {
    while (!this.isOver) {
      const { isTaken, isUnfinished, cookie } = this.#round()
      if (isTaken) await new Promise<void>((resolve) => host.setTimeout(resolve, LATER))
      else if (isUnfinished) await nextTurn()
      else if (cookie !== undefined) {
        this.#source.request(cookie, this.#pressure.isHigh)
        await this.#source.whenDone(cookie)
      } else {
        // In the same stretch as the last round: nothing was queued since.
        this.#rest()
        return
      }
    }
  }

  /** A turn at all lists that are this thread's to look at. */
  #round(): Omit<Turn, 'freed'> {
    const { cpu } = this.#parts
    let cookie = this.#functions.sort(this.#source)
    let isUnfinished = this.#functions.run(BATCH)
    let isTaken = false
    for (const [other, list] of this.#lists.entries()) {
      if (!hasEntries(this.#parts.memory, list)) continue
      if (other !== cpu && !this.#isAway(other)) {
        // Mutant: rcu/number-used-again.
        if (!isAtWork(this.#parts.table, other, list)) this.#parts.passOn(other)
        continue
      }
      const turn = this.#parts.runner.turn(list, this.#source, BATCH)
      isUnfinished ||= turn.isUnfinished
      isTaken ||= turn.isTaken
      cookie = earlier(cookie, turn.cookie)
      if (other !== cpu && turn.freed > 0) this.#wakeWaiters(other)
    }
    this.#pressure.relieve(this.#functions.pending)
    this.#wakeWaiters(cpu)
    return { isTaken, isUnfinished, cookie }
  }

  /**
   * Whether nobody may look at that CPU's list: it is idle, or not online. One that leaves or is
   * cleaned up after has handed its list over, or will, and nobody is rung when its number is given
   * back.
   */
  #isAway(cpu: number): boolean {
    const { table } = this.#parts
    // atomic: it is not online before its list is handed over, so whom it rings finds that here.
    // Who finds it online before that hands the list over to it. Mutant: rcu/ending-passed-on.
    return table.state(cpu) !== 'online' || isIdle(table, cpu)
  }

  #wakeWaiters(cpu: number): void {
    const { doorbell } = this.#parts
    doorbell.ringer.wakeWaiters(cpu)
    if (cpu === this.#parts.cpu) doorbell.recheck()
  }
}

/**
 * For the thread that knows of callbacks which nobody runs: that of an idle or leaving CPU, or a
 * reaper. `cpu`: that CPU; `leftOver`: the word.
 */
export function handOver(
  { memory, table, cpu }: Pick<CallbackParts, 'memory' | 'table' | 'cpu'>,
  leftOver: number,
  ringer: Ringer,
): void {
  // CN(rcu.leftOver) before the look at who is online; pairs with CM in RcuLayer: a CPU that this
  // does not find online yet finds the callbacks. Mutant: rcu/left-alone.
  storeAtomic32(memory.i32, leftOver, 1)
  const isAwake = (other: number): boolean => table.state(other) === 'online' && !isIdle(table, other)
  const [helper] = table.select((other) => other !== cpu && isAwake(other))
  if (helper !== undefined) ringer.ring(helper, REASON_CALLBACKS)
}

function isIdle(table: CpuTable, cpu: number): boolean {
  // atomic: one that goes idle later hands over itself; one that comes back looks at its own list.
  return (loadAtomic32(table.memory.i32, table.record(cpu) + Cpu.words.idle) & 1) === 1
}

/** The earlier one of two cookies. */
function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return isDone(one, other) ? other : one
}
