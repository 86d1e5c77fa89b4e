/**
 * Runs a litmus test many times on real worker threads, and compares the outcomes with the ones
 * that the memory model allows. It finds out whether this engine on this CPU ever shows a forbidden
 * one.
 *
 * A weak outcome that is allowed may be seen or not: either says nothing. The technique is that of
 * litmus7: batches over an array of instances, barriers around batches, random offsets.
 */
import { once as onceEmitted } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { allowedStates, type FinalState } from '../litmus/axiomatic.js'
import { LitmusRunError } from '../litmus/errors.js'
import { holds, observableName, valueName, type LitmusTest } from '../litmus/syntax.js'
import { compileProcess, VARIABLE_STRIDE } from './compile.js'
import { ConformanceFailure, engineAndCpu } from './engine.js'
import { layOut } from './shape-memory.js'
import type { ShapeCounts, ShapeJob } from './shape-worker.js'

export interface ShapeOptions {
  /** The number of runs, rounded up to whole batches. Default: 1,000,000. */
  readonly times?: number
  /** The accesses that READ_ONCE and WRITE_ONCE are. Default: 'plain', which shows more. */
  readonly once?: 'atomic' | 'plain'
  /** Milliseconds after which it ends earlier. Default: 60,000. */
  readonly maxMs?: number
  /** Runs between two barriers. Default: 1024. */
  readonly batch?: number
  /** The seed of the random delays. Default: 1. */
  readonly seed?: number
  /** The states that are allowed. Default: those that the axioms allow. */
  readonly allowed?: readonly FinalState[]
}

export interface ShapeOutcome {
  /** `0:r0=0; 1:r0=0`. */
  readonly description: string
  readonly values: readonly number[]
  readonly count: number
  readonly isAllowed: boolean
  /**
   * Whether the proposition of the test's condition holds: as a rule, whether the outcome is the
   * weak one.
   */
  readonly satisfies: boolean
}

export interface ShapeReport {
  readonly name: string
  readonly times: number
  readonly milliseconds: number
  readonly platform: string
  /** The most frequent one first. */
  readonly outcomes: readonly ShapeOutcome[]
}

/**
 * Runs the shape.
 *
 * @throws ConformanceFailure if an outcome was seen that the memory model forbids; `details.report`
 *   is the report
 * @throws LitmusRunError if the test uses RCU or SRCU, or `times` or `batch` is below 1
 * @throws LitmusLimitError if the allowed states are not given and the axioms have too many
 *   candidates
 */
export async function runShape(test: LitmusTest, options: ShapeOptions = {}): Promise<ShapeReport> {
  const { once = 'plain', allowed: states = allowedStates(test, { once }).states } = options
  const allowed = new Set(states.map(({ values }) => values.join()))
  const start = performance.now()
  const counts = await runThreads(jobsFor(test, options))
  const outcomes = [...counts.outcomes].map(([key, count]) => describe(test, key, count, allowed))
  const report: ShapeReport = {
    name: test.name,
    times: outcomes.reduce((sum, { count }) => sum + count, 0),
    milliseconds: performance.now() - start,
    platform: engineAndCpu(),
    outcomes: outcomes.sort((a, b) => b.count - a.count),
  }
  const forbidden = outcomes.find(({ isAllowed }) => !isAllowed)
  if (forbidden !== undefined)
    throw new ConformanceFailure(
      `${test.name}: ${forbidden.description} was seen ${forbidden.count} times, which the memory model forbids; ${report.platform}`,
      { report, outcome: forbidden.description },
    )
  return report
}

/** The histogram, one outcome a line. Outcomes for which the condition holds have a star. */
export function formatShape(report: ShapeReport): string {
  const { name, times, milliseconds, platform, outcomes } = report
  const lines = outcomes.map(
    ({ count, satisfies, isAllowed, description }) =>
      `${String(count).padStart(10)} ${satisfies ? '*' : ' '} ${description}${isAllowed ? '' : '  ✗ forbidden'}`,
  )
  return [`${name}: ${times} times in ${Math.round(milliseconds)} ms, ${platform}`, ...lines].join('\n')
}

function jobsFor(test: LitmusTest, options: ShapeOptions): ShapeJob[] {
  const { times = 1_000_000, once = 'plain', maxMs = 60_000, batch = 1024, seed = 1 } = options
  if (!(times >= 1) || !(batch >= 1))
    throw new LitmusRunError('times and batch must be 1 or more', { times, batch })
  const threads = test.processes.length
  const slots = Math.min(batch, times)
  const layout = layOut(
    test.variables.length,
    test.processes.map(({ registers }) => registers.length),
    slots,
  )
  const isCrowded = threads > availableParallelism()
  const memory = new SharedArrayBuffer(layout.words * 4)
  return test.processes.map((process, thread) => ({
    memory,
    layout,
    thread,
    source: compileProcess(test, process, once),
    batches: Math.ceil(times / slots),
    maxMs,
    barrierSpins: isCrowded ? 0 : 2000,
    runSpins: isCrowded ? 0 : 200,
    seed,
    initial: test.variables.map(({ initial }) => initial),
    observed: test.observables.map((seen) =>
      seen.kind === 'variable'
        ? seen.variable * VARIABLE_STRIDE
        : (layout.registers[seen.process] ?? 0) +
          (test.processes[seen.process]?.registers.indexOf(seen.register) ?? 0),
    ),
  }))
}

async function runThreads(jobs: readonly ShapeJob[]): Promise<ShapeCounts> {
  const workers = jobs.map(
    (workerData) => new Worker(new URL('./shape-worker.js', import.meta.url), { workerData }),
  )
  try {
    const results = await Promise.all(
      workers.map(async (worker) => (await onceEmitted(worker, 'message')) as [ShapeCounts]),
    )
    const first = results[0]?.[0]
    if (first === undefined) throw new LitmusRunError('a shape needs a process')
    return first
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
}

function describe(test: LitmusTest, key: string, count: number, allowed: ReadonlySet<string>): ShapeOutcome {
  const values = key.split(',').slice(0, -1).map(Number)
  const isFiltered = test.filter !== undefined && !holds(test.filter, values)
  return {
    description: test.observables
      .map((seen, index) => `${observableName(test, seen)}=${valueName(test, values[index] ?? 0)}`)
      .join('; '),
    values,
    count,
    isAllowed: isFiltered || allowed.has(values.join()),
    satisfies: holds(test.proposition, values),
  }
}
