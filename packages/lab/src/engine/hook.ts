/** Where an access goes: to the runner, while the body of a CPU runs, or straight to memory. */
import { perform, valueAt } from './access.js'
import { ATOMIC, CODE, NOTIFY } from './ops.js'
import type { Cpu } from './process.js'
import { BYTES, bytesOfFormat, type LabView } from './views.js'

/** What takes the steps that bodies make: the runner of an exploration. */
export interface StepTaker {
  /** Whether code of a CPU is running, so that accesses are steps. */
  readonly isRunning: boolean
  /** Whether a CPU is being left, so that what its code does is void. */
  readonly isUnwinding: boolean
  /** The CPU whose code is running. */
  readonly current: Cpu
  /** Takes a step of the code that is running; returns what the step gives it. */
  op(code: number, view: LabView | undefined, index: number, a: unknown, b: unknown): unknown
  /** Does what the body asks for without steps: its accesses are part of what every execution starts from. */
  prepare<T>(action: () => T): T
  /** The promise of a task of the event loop: a wait of at most `timeout` milliseconds. */
  promiseOf(task: number, timeout: number): Promise<unknown>
}

export const hook: {
  /** The runner of the exploration that is under way. */
  runner: StepTaker | undefined
  /** Set while set-up or a check runs in the middle of an exploration. */
  direct: boolean
} = { runner: undefined, direct: false }

/** One access; `view` is one of {@link LabView}, whose type `#mem` hides. */
export function access(code: number, view: object, index: number, a: unknown, b: unknown): unknown {
  const labView = view as LabView
  const { runner } = hook
  if (runner !== undefined && runner.isRunning && !hook.direct && isInside(labView, code, index, b))
    return runner.op(code, labView, index, a, b)
  return directly(code, labView, index, a, b)
}

/** Runs `check` with accesses that are no steps. */
export function withoutSteps<T>(check: () => T): T {
  const before = hook.direct
  hook.direct = true
  try {
    return check()
  } finally {
    hook.direct = before
  }
}

/** Accesses outside the memory are no steps: they throw, or do nothing, as the engine's own. */
function isInside(view: LabView, code: number, index: number, b: unknown): boolean {
  if (view.form === BYTES) {
    const op = code & CODE
    if (op >= 8) return index >= 0 && index <= view.length
    return index >= 0 && index + bytesOfFormat(b as number) <= view.length
  }
  return index >= 0 && index < view.length
}

export function directly(code: number, view: LabView, index: number, a: unknown, b: unknown): unknown {
  if (view.form !== BYTES && !(index >= 0 && index < view.length)) {
    if (code >= ATOMIC || (code & CODE) === NOTIFY) throw new RangeError('Invalid atomic access index')
    return undefined
  }
  return perform(view, code, index, a, b, valueAt(view, code, index, a, b))
}
