/**
 * Turns of loops that changed nothing.
 *
 * A waiting loop of foreign code (foreign/loops.ts) is, after a turn that changed no memory, where
 * it was before the turn. So an execution with the turn is one without it, but for the turn. The
 * CPU stops there for the rest of the execution, as after a false `awaitUntil`: the search finds
 * the executions in which it looks later.
 */
import type { TurningLoop } from '../foreign/access.js'
import { isExpected, valueAt } from './access.js'
import { hook } from './hook.js'
import {
  ADD,
  AND,
  CODE,
  COMPARE_EXCHANGE,
  COPY_OUT,
  EXCHANGE,
  LOAD,
  OR,
  SPIN,
  STORE,
  SUB,
  XOR,
} from './ops.js'
import { type Cpu, Process } from './process.js'
import { BYTES, NUMBERS } from './views.js'
import type { World } from './world.js'

/** Begins a turn. Stops the CPU if the turn before was in vain. */
export function beginTurn(loop: TurningLoop): void {
  const { runner, direct } = hook
  if (runner?.isRunning !== true || direct) return
  const { from } = loop
  loop.from = runner.current.cursor
  const steps = from < 0 ? undefined : runner.stepsInVain(from)
  if (steps === undefined || !loop.remembersNothing()) return
  runner.op(SPIN, undefined, 0, () => runner.differs(steps), steps)
}

/**
 * The steps of the code that runs since it was at entry `from` of its log, if none of them has
 * changed anything; else undefined.
 */
export function stepsInVain(world: World, cpu: Cpu, from: number): readonly number[] | undefined {
  const { history } = world
  const steps: number[] = []
  if (from < cpu.preparedLength) return undefined
  for (let at = cpu.cursor - 1, step = cpu.running.last; at >= from; at--) {
    if (cpu.log[at] instanceof Process || step < 0 || !changesNothing(world, step)) return undefined
    steps.unshift(step)
    step = history.previous[step] as number
  }
  return steps
}

/** Whether one of the steps would get another value now. */
export function differs({ history }: World, steps: readonly number[]): boolean {
  return steps.some((step) => {
    const view = history.view[step]
    if (view === undefined) return true
    const index = history.index[step] as number
    const now = valueAt(view, history.code[step] as number, index, history.a[step], history.b[step])
    return !isSame(
      now,
      history.logged[step] === 1 ? (history.result[step] ?? history.before[step]) : undefined,
    )
  })
}

/** Whether the step left its word as it was. In case of doubt it did not. */
export function changesNothing({ history }: World, step: number): boolean {
  const view = history.view[step]
  if (view === undefined) return false
  const op = (history.code[step] as number) & CODE
  if (op === LOAD) return true
  if (view.form === BYTES || op === COPY_OUT) return false
  const before = history.before[step]
  const a = history.a[step]
  const whole = view.form === NUMBERS ? (before as number) | 0 : undefined
  switch (op) {
    case COMPARE_EXCHANGE:
      return !isExpected(view, before, a) || isSame(before, history.b[step])
    case STORE:
    case EXCHANGE:
      return isSame(before, a)
    case ADD:
    case SUB:
    case XOR:
      return Number(a) === 0
    case OR:
      return whole !== undefined && (whole | (a as number)) === whole
    case AND:
      return whole !== undefined && (whole & (a as number)) === whole
    default:
      return false
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return Object.is(one, other)
}
