/** Judges executions: the checks that are made when one has ended. */
import { checkIsSync, ScenarioError } from '../check.js'
import { judgeBlocks } from './blocks.js'
import { withoutSteps } from '../engine/hook.js'
import { ENTER, SPIN, TURN, WAKE } from '../engine/ops.js'
import { FINISHED, type Process, READY, WAITING } from '../engine/process.js'
import { BodyError, NondeterminismError } from '../engine/body-errors.js'
import type { Runner } from '../engine/runner.js'
import type { World } from '../engine/world.js'
import { NotLinearizableError } from '../linearizability/linearizable.js'
import type { Names } from '../scenario/names.js'
import type { Scenario } from '../scenario/scenario.js'
import type { Ending, Verdict } from './verdict.js'
import { wordsOf } from './words.js'

/** Judges an execution in which no process can step any more. */
export function judgeEnd(world: World, scenario: Scenario): Ending {
  const unfinished = world
    .unfinished()
    .filter((process) => !(process.code === ENTER && process.state === READY) && !isResting(process))
  const results = resultsOf(world)
  if (unfinished.length > 0) {
    const ending = judgeStuck(unfinished, world, scenario)
    return ending !== 'blocked' && leavesOut(scenario, results, false) ? 'left out unended' : ending
  }
  if (leavesOut(scenario, results, true)) return 'left out'
  if (world.race !== undefined) return raceVerdict
  const misused = judgeBlocks(world, true)
  if (misused !== undefined) return misused
  try {
    withoutSteps(() =>
      scenario.checks.forEach((check) => checkIsSync('the check of finally()', check(results))),
    )
  } catch (error) {
    if (error instanceof ScenarioError) throw error
    return { kind: 'assertion', message: messageOf(error), cause: error }
  }
  return judgeHistories(world, scenario) ?? 'complete'
}

function judgeHistories(world: World, { histories }: Scenario): Verdict | undefined {
  try {
    histories.forEach((history) => history.check(world))
  } catch (error) {
    if (!(error instanceof NotLinearizableError)) throw error
    return { kind: 'not linearizable', message: error.message, cause: error }
  }
  return undefined
}

/**
 * The values that the bodies returned, by number of their CPU; undefined for those that were killed
 * or have not ended.
 */
export function resultsOf(world: World): unknown[] {
  const results: unknown[] = []
  for (const cpu of world.cpus) {
    const { main, number, result } = cpu
    if (main.kind === 'cpu') results[number] = main.state === FINISHED || cpu.rests ? result : undefined
  }
  return results
}

function isResting(process: Process): boolean {
  return process === process.cpu.main && process.cpu.rests
}
function leavesOut({ filters }: Scenario, results: readonly unknown[], ended: boolean): boolean {
  return withoutSteps(() =>
    filters.some(({ counts, unended }) => {
      if (!ended && !unended) return false
      const answer: unknown = counts(results, ended)
      checkIsSync('the filter', answer)
      return !answer
    }),
  )
}

function judgeStuck(unfinished: readonly Process[], world: World, { names }: Scenario): Ending {
  const spinning = unfinished.filter(({ code }) => code === SPIN)
  const canGoOn = spinning.some(({ a }) => withoutSteps(a as () => boolean))
  if (canGoOn) return 'blocked'
  const stuck = unfinished.map((process) => ({
    process: process.id,
    waitsFor: waitsFor(process, world, names),
  }))
  const list = stuck
    .map(({ waitsFor }, i) => `${(unfinished[i] as Process).name} waits for ${waitsFor}`)
    .join('; ')
  return spinning.length > 0
    ? { kind: 'starvation', message: `nobody can end it: ${list}`, stuck }
    : { kind: 'deadlock', message: `nobody can go on: ${list}`, stuck }
}

/** The thing that a process waits for, as a noun. */
function waitsFor({ code, state, cpu, b }: Process, world: World, names: Names): string {
  if (code === SPIN && Array.isArray(b)) return `a change of ${wordsOf(world, names, b as number[])}`
  if (code === SPIN) return 'a condition that stays false'
  if (code === TURN) return 'a promise that nobody settles'
  if (code === WAKE && state === WAITING) return 'somebody to wake it'
  return `its turn on ${cpu.name}`
}

/** Judges an execution that a failure broke off in the middle. */
export function judgeBroken(world: World, runner: Runner): Verdict {
  const { error } = runner
  if (error instanceof NondeterminismError) return { kind: 'nondeterminism', message: error.message }
  if (error instanceof BodyError) {
    const cause = error.cause
    if (cause instanceof InvariantError && cause.cause instanceof ScenarioError) throw cause.cause
    if (cause instanceof InvariantError)
      return { kind: 'invariant', message: cause.message, cause: cause.cause }
    // In memory that was freed, a body may find anything.
    const misused = judgeBlocks(world, false)
    if (misused !== undefined) return { ...misused, cause }
    return { kind: 'assertion', message: `${error.process.name}: ${messageOf(cause)}`, cause }
  }
  const { race } = world
  if (race === undefined) throw new Error('a broken execution without a reason')
  return raceVerdict
}

const raceVerdict: Verdict = {
  kind: 'data race',
  message: 'two accesses of the same word that nothing orders',
}

/** An invariant threw `cause`. */
export class InvariantError extends Error {}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
