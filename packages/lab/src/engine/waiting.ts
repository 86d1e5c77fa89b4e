/**
 * Waiting and waking. While the body of a CPU runs, they are steps; otherwise, calls of the engine.
 */
import type { WaitResult } from 'percpu/mem'
import { hook } from './hook.js'
import { ATOMIC, NOTIFY, SPIN, WAIT, WAIT_ASYNC } from './ops.js'
import { BIGINTS, type LabView } from './views.js'

type AsyncResult =
  | { readonly async: false; readonly value: WaitResult }
  | { readonly async: true; readonly value: Promise<WaitResult> }

function runnerOfSteps() {
  const { runner, direct } = hook
  return runner?.isRunning === true && !direct ? runner : undefined
}

/** The array itself. The engine checks whether it holds numbers or bigints. */
function realOf(view: LabView): Int32Array {
  return (view.form === BIGINTS ? view.bigints : view.numbers) as Int32Array
}

export function wait(view: object, index: number, value: unknown, timeout: number): WaitResult {
  const labView = view as LabView
  const runner = runnerOfSteps()
  if (runner === undefined)
    return Atomics.wait(labView.numbers as Int32Array, index, value as number, timeout)
  const result = runner.op(ATOMIC | WAIT, labView, index, value, timeout) as WaitResult
  if (result === 'timed-out') runner.current.waited += timeout
  return result
}

export function waitAsync(view: object, index: number, value: unknown, timeout: number): AsyncResult {
  const labView = view as LabView
  const runner = runnerOfSteps()
  if (runner === undefined) return Atomics.waitAsync(realOf(labView), index, value as number, timeout)
  const result = runner.op(ATOMIC | WAIT_ASYNC, labView, index, value, timeout) as
    { async: false; value: WaitResult } | { async: true; value: number }
  if (!result.async) return result
  return { async: true, value: runner.promiseOf(result.value, timeout) as Promise<WaitResult> }
}

export function notify(view: object, index: number, count: number | undefined): number {
  const labView = view as LabView
  const runner = runnerOfSteps()
  if (runner === undefined) return Atomics.notify(realOf(labView), index, count)
  return runner.op(ATOMIC | NOTIFY, labView, index, count, undefined) as number
}

/**
 * Looks once whether others have made the predicate true. If it is false, this CPU stops for the
 * rest of the execution: the search finds the executions in which it looks later. A predicate that
 * nothing can ever make true is a failure. With a limit on the tries, giving up is one of the
 * outcomes.
 */
export function untilTrue(predicate: () => boolean, tries: number): boolean {
  const runner = runnerOfSteps()
  if (runner === undefined) {
    for (let i = 0; i < tries; i++) if (predicate()) return true
    return false
  }
  if (predicate()) return true
  if (tries !== Infinity) return false
  runner.op(SPIN, undefined, 0, predicate, undefined)
  throw new Error('a step that is never enabled was taken')
}
