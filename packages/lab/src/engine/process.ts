/**
 * Processes, the units of the search, and CPUs, on whose stack they run.
 *
 * A CPU runs a body; interrupt handlers run nested in it. All code of one CPU shares a log: what each of its steps gave back. To
 * carry on with a CPU, its body is called again from the start and fed from the log (runner.ts).
 */
import type { ProcessKind } from '../trace.js'
import type { Territory } from './territory.js'
import type { LabView } from './views.js'

/** Not there yet: a reaper before the kill. */
export const UNBORN = 0
/** Its next step is known and may be taken if it is enabled. */
export const READY = 1
/** In a wait: its next step, WAKE, comes when somebody wakes it. */
export const WAITING = 2
export const FINISHED = 3
/** Killed with its CPU. */
export const DEAD = 4

/** What the code of a CPU gets: steps that are no memory accesses. */
export type Body = (...args: never[]) => unknown

export class Process {
  state = READY
  /** Steps taken. */
  sequence = 0
  /** Its newest step, -1 before the first. */
  last = -1
  /** Of a handler: the step at which it entered, -1 before. */
  entry = -1
  /** The step that brought it into being, -1 for the start of the execution. */
  born = -1

  /** The next step: its code (-1 while it is not known), view, index and operands. */
  code = -1
  view: LabView | undefined = undefined
  index = 0
  a: unknown = undefined
  b: unknown = undefined
  /** Its footprint: see {@link History.word}. */
  word = 0
  words = 0
  mask = 0
  /** The step that the next one comes after in any case (a notify before a wake), or -1. */
  cause = -1

  /** Whether it is code, and not something that the environment does. */
  readonly runs: boolean
  /** Interrupts enter a CPU only above its level. */
  readonly level: number
  /** Whether it enters at safepoints only. */
  readonly atSafepoints: boolean

  constructor(
    readonly id: number,
    readonly kind: ProcessKind,
    readonly name: string,
    /** Where its code runs; for a kill or a timer, the CPU concerned. */
    readonly cpu: Cpu,
    readonly body: Body,
    options: { readonly level: number; readonly atSafepoints: boolean } | undefined,
    /** Of a handler: the words that it is known to touch. */
    readonly territory: Territory | undefined,
    /** The instance of the same interrupt that must come before. */
    readonly after: Process | undefined,
  ) {
    this.runs = kind !== 'kill' && kind !== 'timer'
    this.level = options?.level ?? 0
    this.atSafepoints = options?.atSafepoints ?? false
  }
}

/** Something that the event loop of a CPU has to do: a promise to settle, a timer's or message's callback. */
export interface Task {
  readonly id: number
  readonly kind: 'wait' | 'timer' | 'immediate'
  /** The step that made it ready; undefined while it is not. */
  cause: number | undefined
  /** What the callback gets. */
  value: unknown
  done: boolean
}

export class Cpu {
  main!: Process
  /** Handlers that entered, oldest first; those that ended are FINISHED. */
  readonly entered: Process[] = []
  readonly tasks: Task[] = []
  /** Interrupts up to this level wait. */
  maskLevel = 0
  /** Its newest step, by whichever process, and their number: agent order. */
  last = -1
  sequence = 0
  result: unknown = undefined
  /** Whether its ending is a step of its own: of reapers, and of CPUs that may be killed. */
  exits = false

  /** What its steps gave back; a Process stands for "this handler entered here". */
  readonly log: unknown[] = []
  /** Code and index of those steps, to notice code that behaves otherwise the second time. */
  readonly logCode: number[] = []
  readonly logIndex: number[] = []
  logLength = 0
  /** Entries of what it did before its first step. */
  preparedLength = 0
  /** Whether its first step is known. */
  hasFirstStep = false
  cursor = 0
  /** Milliseconds of the time-outs that it has seen in the present run. */
  waited = 0
  /** The process whose code is on the stack's top while the CPU runs. */
  running!: Process
  /** Of the present run: what to call when a task's turn comes. */
  readonly callbacks = new Map<number, (value: unknown) => void>()

  constructor(
    /** Column of the diagrams. */
    readonly number: number,
    readonly name: string,
  ) {}

  /** The process that may step: the newest handler that has not ended, else the body. */
  get top(): Process {
    const { entered } = this
    if (entered.length === 0) return this.main
    for (let i = entered.length - 1; i >= 0; i--) {
      const handler = entered[i] as Process
      if (handler.state !== FINISHED) return handler
    }
    return this.main
  }

  /** A task whose turn it may be: the oldest that is ready, and any timer. */
  readyTasks(): Task[] {
    const ready = this.tasks.filter((task) => task.cause !== undefined && !task.done)
    let first: Task | undefined
    for (const task of ready)
      if (task.kind !== 'timer' && (first?.cause ?? Infinity) > (task.cause ?? 0)) first = task
    return ready.filter((task) => task === first || task.kind === 'timer')
  }
}
