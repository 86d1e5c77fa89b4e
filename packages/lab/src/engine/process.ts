/**
 * Processes, the units of the search, and CPUs, on whose stack they run.
 *
 * A CPU runs a body; interrupt handlers run nested in it. All code of one CPU shares a log of the
 * values that its steps have given. To carry on with a CPU, the runner calls its body again from
 * the start and feeds it from the log (runner.ts).
 */
import { TURN } from './ops.js'
import type { ProcessKind } from '../trace.js'
import type { Territory } from './territory.js'
import type { LabView } from './views.js'

/** A reaper whose CPU has not been killed. */
export const UNBORN = 0
/** Its next step is known and may be taken if it is enabled. */
export const READY = 1
/** In a wait: its next step, WAKE, comes when somebody wakes it. */
export const WAITING = 2
export const FINISHED = 3
/** Killed with its CPU. */
export const DEAD = 4

/** The code of a CPU. Its argument makes the steps that are no memory accesses. */
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
  /** The step that comes before the next one in every execution (a notify before a wake), or -1. */
  cause = -1

  /** Whether the process is code. The environment makes the steps of kills and timers. */
  readonly runs: boolean
  /** Interrupts enter a CPU only above its level. */
  readonly level: number
  /** Whether it enters at safepoints only. */
  readonly atSafepoints: boolean

  constructor(
    readonly id: number,
    readonly kind: ProcessKind,
    readonly name: string,
    /** The CPU on which its code runs. For a kill or a timer, the CPU concerned. */
    readonly cpu: Cpu,
    readonly body: Body,
    options: { readonly level: number; readonly atSafepoints: boolean } | undefined,
    /** Of a handler: the words that it is known to touch. */
    readonly territory: Territory | undefined,
    /** The instance of the same interrupt that must end before. */
    readonly after: Process | undefined,
  ) {
    this.runs = kind !== 'kill' && kind !== 'timer'
    this.level = options?.level ?? 0
    this.atSafepoints = options?.atSafepoints ?? false
  }
}

/** A task of a CPU's event loop: a promise to settle, or the callback of a timer or a message. */
export interface Task {
  readonly id: number
  readonly kind: 'wait' | 'timer' | 'immediate'
  /** The step that made it ready; undefined while it is not. */
  cause: number | undefined
  /** The argument of the callback. */
  value: unknown
  done: boolean
}

export class Cpu {
  main!: Process
  /** Handlers that entered, oldest first. The ones that have ended are FINISHED. */
  readonly entered: Process[] = []
  readonly tasks: Task[] = []
  /** Interrupts up to this level wait. */
  maskLevel = 0
  /** The newest step of any of its processes, and the number of such steps: agent order. */
  last = -1
  sequence = 0
  result: unknown = undefined
  /** Whether its ending is a step of its own: of reapers, and of CPUs that may be killed. */
  exits = false
  /** Whether its event loop goes on when its body has ended. */
  stays = false
  /** Entries of the log before its body had ended, in the present run; -1 if it has not. */
  settledAt = -1

  /** The values that its steps gave. A Process stands for a handler that entered there. */
  readonly log: unknown[] = []
  /** Code and index of these steps, to notice code that behaves otherwise the second time. */
  readonly logCode: number[] = []
  readonly logIndex: number[] = []
  logLength = 0
  /** Entries that it made before its first step. */
  preparedLength = 0
  /** Whether its first step is known. */
  hasFirstStep = false
  cursor = 0
  /** Milliseconds of the time-outs that it has seen in the present run. */
  waited = 0
  /** The process whose code is on the stack's top while the CPU runs. */
  running!: Process
  /** The callbacks of tasks, of the present run. */
  readonly callbacks = new Map<number, (value: unknown) => void>()

  constructor(
    /** Column of the diagrams. */
    readonly number: number,
    readonly name: string,
  ) {}

  /** The process that may step: the newest handler that has not ended, or else the body. */
  get top(): Process {
    const { entered } = this
    if (entered.length === 0) return this.main
    for (let i = entered.length - 1; i >= 0; i--) {
      const handler = entered[i] as Process
      if (handler.state !== FINISHED) return handler
    }
    return this.main
  }

  /** Whether its body has ended, and its event loop has nothing to do. */
  get rests(): boolean {
    const { main, settledAt, logLength } = this
    return main.state === READY && main.code === TURN && settledAt >= 0 && logLength >= settledAt
  }

  /** Tasks whose turn may be next: the oldest that is ready, and any timer. */
  readyTasks(): Task[] {
    const ready = this.tasks.filter((task) => task.cause !== undefined && !task.done)
    let first: Task | undefined
    for (const task of ready)
      if (task.kind !== 'timer' && (first?.cause ?? Infinity) > (task.cause ?? 0)) first = task
    return ready.filter((task) => task === first || task.kind === 'timer')
  }
}
