/**
 * The way of an access: to the runner while the body of a CPU runs, straight to memory otherwise.
 */
import { perform, valueAt } from './access.js'
import { ATOMIC, CODE, FILL, NOTIFY } from './ops.js'
import type { Cpu } from './process.js'
import { bytesOfFormat } from './formats.js'
import { BYTES, type LabView } from './views.js'

/** Takes the steps that bodies make. The runner of an exploration is one. */
export interface StepTaker {
  /** Whether code of a CPU is running, so that accesses are steps. */
  readonly isRunning: boolean
  /** Whether the stack of a CPU is being unwound, so that nothing its code does counts. */
  readonly isUnwinding: boolean
  /** The CPU whose code is running. */
  readonly current: Cpu
  /** Takes a step of the code that is running; returns what the step gives it. */
  op(code: number, view: LabView | undefined, index: number, a: unknown, b: unknown): unknown
  /**
   * Runs `action` without steps: every execution starts from the memory that its accesses leave.
   */
  prepare<T>(action: () => T): T
  /** See turns.ts. */
  stepsInVain(from: number): readonly number[] | undefined
  differs(steps: readonly number[]): boolean
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

/**
 * Whether the access is inside the memory. One outside is no step: it throws, or does nothing, like
 * the engine's own.
 */
function isInside(view: LabView, code: number, index: number, b: unknown): boolean {
  if (view.form === BYTES) {
    const op = code & CODE
    if (op >= FILL) return index >= 0 && index <= view.length
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
