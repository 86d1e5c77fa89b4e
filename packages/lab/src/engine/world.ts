/**
 * The state between two steps: the steps taken so far, the processes, and the waiters. It says
 * which processes may step; step.ts has the way from a state to the next.
 */
import { CLOCK, History, MAX_PROCESSES } from './history.js'
import { footprint } from './footprint.js'
import { CALL, ENTER, KILL, onlyLooks, RETURN, SAFEPOINT, SPIN, TIMEOUT, TURN, WAKE } from './ops.js'
import { Cpu, DEAD, FINISHED, Process, READY, UNBORN, WAITING, type Body } from './process.js'
import type { ProcessKind } from '../trace.js'
import type { Territory } from './territory.js'
import type { LabView } from './views.js'
import type { Waiter } from './waiters.js'

/** A pair of accesses that nothing orders. */
export interface RacePair {
  readonly first: number
  readonly second: number
  readonly rule: 'plain-plain' | 'atomic-plain' | 'unequal widths'
}

/** Code that interrupts a CPU. */
export interface Handler {
  readonly body: Body
  readonly name: string
  readonly options: IrqOptions
  readonly territory: Territory
}

export interface IrqOptions {
  readonly kind: 'irq' | 'ipi'
  readonly level: number
  readonly atSafepoints: boolean
}

export class World {
  readonly history = new History()
  readonly processes: Process[] = []
  readonly cpus: Cpu[] = []
  /** In the order in which they began to wait. */
  readonly waiters: Waiter[] = []
  /** The first data race found in this execution. */
  race: RacePair | undefined = undefined
  /**
   * Whether an execution goes on after a race, because it is known only at its end whether it
   * counts.
   */
  defersRaces = false
  /**
   * Tells the search of each pair of steps whose order mattered. Undefined for a search that
   * ignores them.
   */
  onConflict: ((earlier: number) => void) | undefined = undefined
  /** Tells the search that `process` could have come in the place of the step at hand. */
  onAlternative: ((process: Process, step: number) => void) | undefined = undefined
  /** Whether the clocks of dependence are kept. A search at random does not need them. */
  tracksDependence = true
  /** Chooses one of several outcomes of a step. */
  chooseOutcome: (count: number) => number = () => 0
  /** Whether plain loads of racy words may give stale values. */
  weak = false
  /**
   * Whether a CPU may die after steps that only look, too. A complete search gains nothing by that;
   * one at random would miss the moment.
   */
  killsAnywhere = true
  /** Bodies of handlers that code may send to other CPUs. */
  readonly handlers: Handler[] = []

  /** The CPU that runs after a CPU was killed. */
  readonly reapers = new Map<Cpu, Cpu>()
  /** The process that waits for the end of an IPI's handler. */
  readonly senders = new Map<Process, Process>()
  /**
   * Whether there are interrupt handlers, by which a CPU has more than one process; and whether
   * there are kills or timers.
   */
  hasHandlers = false
  hasOptional = false
  /** Set when a handler touched a word for the first time. */
  territoryGrew = false
  /** Processes that clocks count: the most that there were at one time. */
  width = 0

  addCpu(number: number, name: string, body: Body, kind: 'cpu' | 'reaper'): Cpu {
    const cpu = new Cpu(number, name)
    this.cpus.push(cpu)
    cpu.main = this.addProcess(kind, name, cpu, body)
    if (kind === 'reaper') {
      cpu.main.state = UNBORN
      cpu.exits = true
    }
    cpu.running = cpu.main
    return cpu
  }

  addProcess(
    kind: ProcessKind,
    name: string,
    cpu: Cpu,
    body: Body = () => undefined,
    handler?: Handler,
    after?: Process,
  ): Process {
    const id = this.processes.length
    if (id >= MAX_PROCESSES)
      throw new RangeError(
        `at most ${MAX_PROCESSES} processes (CPUs, interrupts, kills, timers) can be explored`,
      )
    const process = new Process(id, kind, name, cpu, body, handler?.options, handler?.territory, after)
    if (handler !== undefined) {
      process.code = ENTER
      this.hasHandlers = true
    }
    if (!process.runs) this.hasOptional = true
    if (kind === 'kill') process.code = KILL
    if (kind === 'timer') {
      process.code = TIMEOUT
      process.state = FINISHED
    }
    this.processes.push(process)
    this.width = Math.max(this.width, this.processes.length)
    return process
  }

  /** Whether the execution is broken off here, by a data race. */
  get isBroken(): boolean {
    return this.race !== undefined && !this.defersRaces
  }

  /** Sets the step that `process` will take next. */
  setNext(
    process: Process,
    code: number,
    view: LabView | undefined,
    index: number,
    a: unknown,
    b: unknown,
  ): void {
    process.code = code
    process.view = view
    process.index = index
    process.a = a
    process.b = b
    footprint(process)
  }

  /**
   * Whether the process may take its next step now. A kill may while its CPU can be killed, a timer
   * while its wait lasts.
   */
  isEnabled(process: Process): boolean {
    if (process.state !== READY || process.code < 0) return false
    const { cpu, code } = process
    switch (code) {
      case SPIN:
        return false
      case KILL:
        return this.mayDie(cpu)
      case TIMEOUT:
        return true
      case ENTER:
        return this.mayEnter(process)
      case TURN:
        return cpu.top === process && cpu.readyTasks().length > 0
      default:
        return cpu.top === process
    }
  }

  /** The processes that may step, but for kills and timers, as bits. */
  enabled(): number {
    let bits = 0
    for (const process of this.processes) if (process.runs && this.isEnabled(process)) bits |= 1 << process.id
    return bits
  }

  /** The kills and timers that may happen, or not, as bits. */
  optional(): number {
    let bits = 0
    for (const process of this.processes)
      if (!process.runs && this.isEnabled(process)) bits |= 1 << process.id
    return bits
  }

  /**
   * Nobody can tell whether a CPU died before or after steps that only look. So it dies before
   * them: what it had seen would order its reaper with others. Where there are handlers, it matters
   * what they interrupted.
   */
  private mayDie({ main, last }: Cpu): boolean {
    if (main.state === FINISHED || main.state === DEAD || main.state === UNBORN) return false
    const isAnywhere = this.killsAnywhere || this.hasHandlers || last < 0
    return isAnywhere || !onlyLooks(this.history.code[last] as number)
  }

  private mayEnter(handler: Process): boolean {
    const { cpu } = handler
    if (cpu.main.state === DEAD || cpu.main.state === UNBORN) return false
    if (handler.after !== undefined && handler.after.state !== FINISHED) return false
    const { top } = cpu
    if (handler.level <= cpu.maskLevel || (top !== cpu.main && handler.level <= top.level)) return false
    if (!handler.atSafepoints) return true
    const idle = top.state === FINISHED || top.code === SAFEPOINT || top.code === TURN
    return top === cpu.main && idle
  }

  /** Chooses one of `count` outcomes of the step; returns its number. */
  decide(step: number, count: number): number {
    const { history } = this
    history.outcomes[step] = count
    return (history.outcome[step] = this.chooseOutcome(count))
  }

  /** Records the value that the step gave to its code. */
  log(cpu: Cpu, step: number, value: unknown): void {
    const { history } = this
    const code = history.code[step] as number
    const at = cpu.logLength++
    cpu.log[at] = value
    // A WAKE is the second half of a step that the code asked for: its operand is the code of that
    // step.
    cpu.logCode[at] = code === WAKE ? (history.b[step] as number) : code
    cpu.logIndex[at] = history.index[step] as number
    history.logged[step] = 1
    history.result[step] = value
  }

  /**
   * Whether step `earlier` comes before `later` in every execution that is equivalent to this one.
   */
  isOrdered(earlier: number, later: number): boolean {
    const { history } = this
    return (
      (history.dependence[later * CLOCK + (history.process[earlier] as number)] as number) >=
      (history.sequence[earlier] as number)
    )
  }

  /** Whether step `earlier` happens before `later` in the memory model. */
  happensBefore(earlier: number, later: number): boolean {
    const { history } = this
    return (
      (history.happened[later * CLOCK + (history.agent[earlier] as number)] as number) >=
      (history.agentSequence[earlier] as number)
    )
  }

  /** Whether a body has accessed memory in this execution. */
  touchesMemory(): boolean {
    const { view, code, length } = this.history
    for (let step = 0; step < length; step++)
      if (view[step] !== undefined && code[step] !== CALL && code[step] !== RETURN) return true
    return false
  }

  /** Processes whose code has begun and has not ended. */
  unfinished(): Process[] {
    return this.processes.filter(
      ({ runs, state, code, cpu }) =>
        runs && (state === WAITING || (state === READY && !(code === ENTER && cpu.main.state === DEAD))),
    )
  }
}
