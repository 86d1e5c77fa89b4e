/** The function that users explore with. */
import { hook } from '../engine/hook.js'
import { ScenarioError } from '../check.js'
import type { Scenario } from '../scenario/scenario.js'
import { Exploration } from './exploration.js'
import { ExplorationFailure } from './failure.js'
import { checkExploration, type ExploreOptions } from './options.js'
import { noCounts, toBeSeen, type ExploreReport, type Outcome } from './outcome.js'
import { settings } from './settings.js'

/**
 * Explores a scenario. Resolves when no execution fails. A thread explores one scenario at a time.
 *
 * @throws ExplorationFailure for the first execution that fails, or if the counts are not the
 *   expected ones
 * @throws ScenarioError for a name, a scenario or options that cannot be, or while another
 *   exploration runs; if no body touches shared memory, or filters leave out every execution; if
 *   code that the lab does not see has changed the scenario's memory, which hides any failure as
 *   its `cause`; if the scenario, or a check of it, returns a promise
 * @throws RangeError if the scenario has more than 30 processes: CPUs, interrupts, kills, time
 *   limits
 * @throws ScheduleError if `replay` is no schedule, or does not fit the scenario and nothing fails
 */
export async function explore(
  name: string,
  describe: (t: Scenario) => void,
  options: ExploreOptions = {},
): Promise<ExploreReport> {
  checkExploration(name, describe, options)
  if (hook.runner !== undefined)
    throw new ScenarioError('one exploration at a time: await the other one first')
  const asked = settings()
  if (asked?.selects(name) === false) return { name, ...noCounts, truncated: true, milliseconds: 0 }
  const all = { ...options, ...asked?.override }
  const own = await inTask(() => outcomeOf(() => new Exploration(name, describe, all).run()))
  const outcome = asked === undefined ? own : await asked.ended(name, own)
  if ('failure' in outcome) throw outcome.failure
  const { report } = outcome
  if (all.replay === undefined && report.executions > 0 && !report.touchesMemory)
    throw new ScenarioError(
      `${name}: no body touched shared memory through the lab, so nothing was explored: ${toBeSeen}`,
    )
  if (all.replay === undefined && isAllLeftOut(report)) throw new AllLeftOutError(report)
  if (isSameSearch(options, all)) compare(report, options)
  return report
}

/** Filters have left nothing to look at. */
export class AllLeftOutError extends ScenarioError {
  constructor(readonly report: ExploreReport) {
    super(
      `${report.name}: filters left out all of ${report.leftOut} executions, so nothing was checked: ` +
        'let them return true for those that count',
    )
  }
}
function isAllLeftOut({ leftOut, checked }: ExploreReport): boolean {
  return leftOut > 0 && checked === 0
}

/** Whether the search is the one that the program asked for. */
function isSameSearch(options: ExploreOptions, all: ExploreOptions): boolean {
  const deciding = ['mode', 'preemptions', 'seed', 'executions', 'depth', 'replay'] as const
  return options.replay === undefined && deciding.every((key) => all[key] === options[key])
}

/**
 * Runs `action` in a task. Promise jobs of bodies can only be run from one, and the code after an
 * `await` is a promise job itself.
 */
function inTask<T>(action: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(action())
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
}

function outcomeOf(run: () => ExploreReport): Outcome {
  try {
    return { report: run() }
  } catch (error) {
    if (error instanceof ExplorationFailure) return { failure: error }
    throw error
  }
}

function compare(report: ExploreReport, { expect = {} }: ExploreOptions): void {
  for (const what of ['executions', 'blocked'] as const) {
    const expected = expect[what]
    if (expected === undefined || expected === report[what]) continue
    throw new ExplorationFailure(
      'execution count',
      `${report.name}: ${report[what]} ${what} instead of ${expected}: the code, the scenario or the search has changed`,
      undefined,
      report.executions,
      undefined,
    )
  }
}
