/**
 * Complete search with few executions: Source-DPOR with sleep sets (Abdulla, Aronsson, Jonsson,
 * Sagonas: "Optimal dynamic partial order reduction", POPL 2014). 'enumerate' tries every
 * interleaving, to compare with.
 *
 * Executions that differ only in the order of independent steps are equivalent, and one of each
 * class is enough. When a step conflicts with an earlier one, and nothing else orders the two, the
 * state before the earlier step gets another process to try: one that can begin the execution in
 * which the two are swapped. A process that was tried sleeps until a step comes that depends on the
 * process's next step.
 *
 * Three kinds of steps need more, because they exclude others without touching a common word.
 * - A handler runs to its end before the code below it goes on, and a masked handler cannot enter.
 *   A process that cannot step at a state is tried at the last state before where it can.
 * - A kill takes steps away. It is tried before each step of its CPU, and at the end of executions
 *   in which the CPU spins.
 * - The time-out of a wait is tried before each notify that ends the wait.
 *
 * A bound on preemptions (Musuvathi, Qadeer 2007; Coons, Musuvathi, McKinley 2013) switches sleep
 * sets off. A new process is then also tried at the beginning of the stretch that it interrupts.
 */
import { CLOCK } from '../engine/history.js'
import { ENTER, IPI, IPI_SYNC, MASK, SPIN, TIMEOUT } from '../engine/ops.js'
import { dependsOn } from '../engine/dependence.js'
import { type Cpu, DEAD, FINISHED, type Process } from '../engine/process.js'
import { ELSEWHERE, END, FAILED, REDUNDANT, TOO_LONG, type Search } from '../engine/search.js'
import { takeBack } from '../engine/step.js'
import type { World } from '../engine/world.js'
import { lowest, timersIn } from './masks.js'
import type { Shard } from './shard.js'

export interface DporOptions {
  /** Every interleaving, instead of one of each class. */
  readonly enumerate: boolean
  /** The most switches away from a CPU that could go on, in one execution. */
  readonly preemptions: number
  /** The most steps of an execution. */
  readonly maxSteps: number
  /** The part of the search to explore; undefined for all of it. */
  readonly shard: Shard | undefined
}

export class Dpor implements Search {
  private readonly enabled: number[] = []
  private readonly sleep: number[] = []
  private readonly backtrack: number[] = []
  private readonly done: number[] = []
  private readonly preempted: number[] = []
  /** The process to try at the state that the search went back to; -1 for none. */
  private forced = -1
  private forcedOutcome = 0
  /** The state in which the execution ended, if it came to its end; else -1. */
  private endsAt = -1
  private readonly bounded: boolean
  /** The first step of each process in the swapped execution; 0 for none. */
  private readonly first = new Int32Array(CLOCK)

  constructor(
    private readonly world: World,
    private readonly options: DporOptions,
  ) {
    this.bounded = options.preemptions !== Infinity
    world.tracksDependence = true
    world.killsAnywhere = false
    if (!options.enumerate) {
      world.onConflict = (earlier) => this.reverse(earlier)
      world.onAlternative = (process, step) => this.tryAt(process.id, step)
    }
    world.chooseOutcome = () => {
      const outcome = this.forcedOutcome
      this.forcedOutcome = 0
      return outcome
    }
  }

  next(): number {
    const { world } = this
    const depth = world.history.length
    this.endsAt = -1
    if (this.forced >= 0) {
      const process = this.forced
      this.forced = -1
      return process
    }
    if (world.isBroken) return FAILED
    if (depth >= this.options.maxSteps) return TOO_LONG
    const { enumerate, shard } = this.options
    if (depth === 0) shard?.begin()
    if (shard?.depth === depth && !shard.takes()) return ELSEWHERE
    const must = world.enabled()
    const may = world.optional()
    if (depth > 0 && (world.hasOptional || world.hasHandlers)) this.allowExclusions(depth - 1)
    const sleep = depth === 0 || enumerate || this.bounded ? 0 : this.sleepAfter(depth - 1)
    this.enabled[depth] = must | may
    this.sleep[depth] = sleep
    this.done[depth] = 0
    this.preempted[depth] = depth === 0 ? 0 : this.preemptionsBefore(depth)
    if (must === 0 && timersIn(world, may) === 0) {
      this.backtrack[depth] = may === 0 ? 0 : this.killsOfSpinning(may & ~sleep)
      this.endsAt = depth
      return this.end(depth, END)
    }
    const chosen = this.choose(depth, must & ~sleep, may & ~sleep)
    if (chosen < 0) return this.end(depth, REDUNDANT)
    const all = enumerate || (shard !== undefined && depth < shard.depth)
    this.backtrack[depth] = all ? must | may : 1 << chosen
    return chosen
  }

  /**
   * Kills of CPUs that spin. Such a CPU takes no step any more before which its kill would be
   * tried.
   */
  private killsOfSpinning(may: number): number {
    let kills = 0
    for (const { id, kind, cpu } of this.world.processes)
      if (kind === 'kill' && (may & (1 << id)) !== 0 && cpu.top.code === SPIN) kills |= 1 << id
    return kills
  }

  /** The end of an execution. If it came before the shards parted, one of them counts it. */
  private end(depth: number, end: number): number {
    const { shard } = this.options
    return shard !== undefined && depth < shard.depth && !shard.takes() ? ELSEWHERE : end
  }

  /**
   * The process to step first at a new state: the one of the step before, if possible; a kill if no
   * other process is worth it.
   */
  private choose(depth: number, must: number, may: number): number {
    const { world } = this
    const previous = depth > 0 ? (world.history.process[depth - 1] as number) : -1
    if (previous >= 0 && (must & (1 << previous)) !== 0) return previous
    if (must !== 0) return lowest(must)
    const timers = timersIn(world, may)
    return timers !== 0 ? lowest(timers) : may !== 0 ? lowest(may) : -1
  }

  /**
   * Goes back to the last state at which there is something else to try. Returns false if there is
   * none.
   */
  goBack(): boolean {
    const { world } = this
    const { history } = world
    const after = this.endsAt === history.length ? (this.backtrack[this.endsAt] as number) : 0
    if (after !== 0) {
      this.forced = lowest(after)
      return true
    }
    for (let depth = history.length - 1; depth >= 0; depth--) {
      const process = history.process[depth] as number
      const outcome = (history.outcome[depth] as number) + 1
      if (outcome < (history.outcomes[depth] as number)) {
        takeBack(world, depth)
        this.forced = process
        this.forcedOutcome = outcome
        return true
      }
      const done = (this.done[depth] as number) | (1 << process)
      this.done[depth] = done
      let rest = (this.backtrack[depth] as number) & ~done & ~(this.sleep[depth] as number)
      while (rest !== 0 && this.bounded && this.costs(depth, lowest(rest)) > this.options.preemptions)
        rest &= rest - 1
      if (rest === 0) continue
      takeBack(world, depth)
      this.forced = lowest(rest)
      this.forcedOutcome = 0
      return true
    }
    return false
  }

  /**
   * Processes that need not be tried after step `step`: trying them before it makes no difference.
   */
  private sleepAfter(step: number): number {
    const { world } = this
    const process = world.history.process[step] as number
    let sleep = ((this.sleep[step] as number) | (this.done[step] as number)) & ~(1 << process)
    for (let rest = sleep; rest !== 0; rest &= rest - 1) {
      const id = lowest(rest)
      if (dependsOn(world, world.processes[id] as Process, step)) sleep &= ~(1 << id)
    }
    return sleep
  }

  /**
   * Has a kill tried before a step of its CPU, and an interrupt before a step that masks it or
   * kills its CPU.
   */
  private allowExclusions(step: number): void {
    const { world } = this
    const { history } = world
    const taken = world.processes[history.process[step] as number] as Process
    const code = history.code[step]
    if (code === IPI || code === IPI_SYNC) this.reverseMask(step)
    if (taken.kind === 'kill') this.allowBefore(taken.cpu)
    const masks = code === MASK || taken.kind === 'kill'
    for (const { kind, cpu, id, code } of world.processes) {
      if (cpu !== taken.cpu || ((this.enabled[step] as number) & (1 << id)) === 0) continue
      if (kind === 'kill' || (masks && (code === ENTER || code === TIMEOUT)))
        this.backtrack[step] = (this.backtrack[step] as number) | (1 << id)
    }
  }

  /**
   * A CPU was killed while handlers were under way. The code that they interrupted never goes on,
   * so it matters how far that code had come. All other processes of the CPU are tried before the
   * handlers enter.
   */
  private allowBefore({ entered, main }: Cpu): void {
    const { processes } = this.world
    for (const { state, entry } of entered) {
      if (state !== DEAD) continue
      const enabled = this.enabled[entry] as number
      let others = 0
      for (const { id, cpu } of processes)
        if (cpu.main === main && (enabled & (1 << id)) !== 0) others |= 1 << id
      // Code that waits there can go on when another process has woken it.
      if ((others & (1 << main.id)) === 0) others = enabled
      this.backtrack[entry] = (this.backtrack[entry] as number) | others
    }
  }

  /**
   * The step just taken could be swapped with step `earlier`: has the swapped execution explored.
   */
  private reverse(earlier: number): void {
    const { world, first } = this
    const { history } = world
    const { dependence } = history
    const newest = history.length - 1
    const { width } = world
    first.fill(0, 0, width)
    let initials = 0
    for (let step = earlier + 1; step <= newest; step++) {
      if (step !== newest && world.isOrdered(earlier, step)) continue
      const process = history.process[step] as number
      let isInitial = true
      for (let other = 0; isInitial && other < width; other++) {
        const begin = first[other] as number
        if (begin !== 0 && (dependence[step * CLOCK + other] as number) >= begin) isInitial = false
      }
      if (isInitial) initials |= 1 << process
      if (first[process] === 0) first[process] = history.sequence[step] as number
    }
    const possible = initials & (this.enabled[earlier] as number)
    if (possible === 0) {
      this.reverseEntry(lowest(initials), earlier)
      return
    }
    if ((possible & ((this.backtrack[earlier] as number) | (this.sleep[earlier] as number))) !== 0) return
    const process = history.process[newest] as number
    this.tryAt((possible & (1 << process)) !== 0 ? process : lowest(possible), earlier)
  }

  /**
   * No process that should step before `earlier` can. As a rule a handler is above `process`, and
   * should have come later.
   */
  private reverseEntry(process: number, earlier: number): void {
    const { world } = this
    const { history } = world
    const { cpu } = world.processes[process] as Process
    for (let i = cpu.entered.length - 1; i >= 0; i--) {
      const { entry, last, state } = cpu.entered[i] as Process
      if (entry > earlier || (state === FINISHED && last < earlier)) continue
      if (entry === earlier || world.isOrdered(entry, history.length - 1)) break
      this.reverse(entry)
      return
    }
    this.tryAt(process, earlier)
  }

  /**
   * Step `sent` is an IPI to a CPU that keeps it out by a mask. Has the IPI sent before the mask.
   */
  private reverseMask(sent: number): void {
    const { world } = this
    const { history } = world
    const handler = world.processes.at(-1) as Process
    for (let step = sent - 1; step >= 0; step--) {
      const by = world.processes[history.process[step] as number] as Process
      if (history.code[step] !== MASK || by.cpu !== handler.cpu) continue
      if ((history.a[step] as number) >= handler.level && !world.isOrdered(step, sent)) this.reverse(step)
      return
    }
  }

  /**
   * Has `process` tried at the state before `step`, or at the last one before where it can step.
   */
  private tryAt(process: number, step: number): void {
    const bit = 1 << process
    let at = step
    while (at >= 0 && ((this.enabled[at] as number) & bit) === 0) at--
    if (at < 0) {
      // It came into being, or was let go on, between the two: every process that can step there is
      // tried.
      this.backtrack[step] = (this.backtrack[step] as number) | (this.enabled[step] as number)
      return
    }
    this.backtrack[at] = (this.backtrack[at] as number) | bit
    if (!this.bounded) return
    const { process: taken } = this.world.history
    let begin = at
    while (begin > 0 && taken[begin - 1] === taken[at]) begin--
    if (((this.enabled[begin] as number) & bit) !== 0)
      this.backtrack[begin] = (this.backtrack[begin] as number) | bit
  }

  /** Preemptions in the steps before `depth`. */
  private preemptionsBefore(depth: number): number {
    return this.costs(depth - 1, this.world.history.process[depth - 1] as number)
  }

  /** Preemptions up to the step at `depth`, if `process` takes it. */
  private costs(depth: number, process: number): number {
    const { world } = this
    if (depth === 0) return 0
    const before = this.preempted[depth] as number
    const previous = world.history.process[depth - 1] as number
    const switches = previous !== process && ((this.enabled[depth] as number) & (1 << previous)) !== 0
    const forced = world.processes[process]?.kind !== 'cpu'
    return switches && !forced ? before + 1 : before
  }
}
