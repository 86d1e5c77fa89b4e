/**
 * `explore`: builds the world of a scenario, lets a search run through its executions, and turns the first failure into something to
 * read.
 */
import { EventLoop } from './engine/event-loop.js'
import { explored } from './engine/foreign-access.js'
import { hook, withoutSteps } from './engine/hook.js'
import { Runner } from './engine/runner.js'
import { ELSEWHERE, END, FAILED, REDUNDANT, type Search, TOO_LONG } from './engine/search.js'
import { takeBack } from './engine/step.js'
import { World } from './engine/world.js'
import { ExplorationFailure, failureOf } from './failure.js'
import {
  InvariantError,
  judgeBroken,
  judgeEnd,
  messageOf,
  resultsOf,
} from './judge.js'
import { setForeignAccess } from './foreign/access.js'
import * as check from './check.js'
import { Scenario, ScenarioError } from './scenario.js'
import { Dpor } from './search/dpor.js'
import { RandomSearch } from './search/random.js'
import { type Choice, decode, encode, FollowSchedule, scheduleOf, ScheduleError } from './search/schedule.js'
import { Shard, type ShardOptions } from './search/shard.js'
import { shrink } from './search/shrink.js'
import { type Outcome, settings } from './settings.js'
import type { Trace } from './trace.js'
import type { Ending, Verdict } from './verdict.js'
import { recordTrace, StackRecorder } from './tracing.js'

export interface ExploreOptions {
  /**
   * 'exhaustive': one execution of each class of equivalent ones (default). 'enumerate': every interleaving. 'pct', 'random': drawn at
   * random.
   */
  readonly mode?: 'exhaustive' | 'enumerate' | 'pct' | 'random'
  /** Switches away from a CPU that could go on, at most, in one execution. Default: any number. */
  readonly preemptions?: number
  /** Executions, at most: what the random modes make (default 10,000), what a complete search is broken off after. */
  readonly executions?: number
  /** Milliseconds, at most. */
  readonly maxMs?: number
  /** Steps of one execution, at most: more are a failure. Default 10,000. */
  readonly maxSteps?: number
  /** For the random modes. Default 1. */
  readonly seed?: number
  /** Orderings that must come together for the bugs that 'pct' looks for. Default 3. */
  readonly depth?: number
  /** Lets plain loads of racy words give any value that the memory model allows. */
  readonly weak?: boolean
  /** Runs one execution: a schedule from a failure. */
  readonly replay?: string
  /** The folder for the page of a failure. Default: the environment's PERCPU_LAB_REPORT, or one for temporary files. */
  readonly report?: string
  /** Explores one of several parts of a search; the others are explored elsewhere, and the sums are those of the whole. */
  readonly shard?: ShardOptions
  /** How many there must be. A search that has become smaller finds less. */
  readonly expect?: { readonly executions?: number; readonly blocked?: number }
  /**
   * Told of each complete execution: the results of the bodies, and its number. The number starts again at 1 when the search has to
   * (an interrupt handler touched a word for the first time): what was told before is void.
   */
  readonly observe?: (results: readonly unknown[], execution: number, world: World) => void
}

const optionValues = {
  mode: check.oneOf('exhaustive', 'enumerate', 'pct', 'random'),
  preemptions: check.wholeFrom(0),
  executions: check.wholeFrom(1),
  maxMs: check.numberFrom(0),
  maxSteps: check.wholeFrom(1),
  seed: check.numberFrom(-Infinity),
  depth: check.wholeFrom(1),
  weak: check.flag,
  replay: check.text,
  report: check.text,
  shard: check.anything,
  expect: check.anObject,
  observe: check.aFunction,
} as const

function checkExploration(name: unknown, describe: unknown, options: ExploreOptions): void {
  if (typeof name !== 'string') throw new ScenarioError('an exploration has a name, a string')
  check.checkFunction(`${name}: the scenario`, describe)
  check.checkOptions(name, options, optionValues)
  const counts = { executions: check.wholeFrom(0), blocked: check.wholeFrom(0) }
  check.checkOptions(`${name}: expect`, options.expect, counts)
}

export interface ExploreReport {
  readonly name: string
  /** Complete executions. */
  readonly executions: number
  /** Broken off in a spin loop that others show the end of. */
  readonly blocked: number
  /** Broken off because an equivalent one had been explored. */
  readonly redundant: number
  /** Whether a limit ended the search before everything was explored. */
  readonly truncated: boolean
  /** Steps taken. */
  readonly operations: number
  readonly milliseconds: number
}

interface Counts {
  executions: number
  blocked: number
  redundant: number
  operations: number
}

/**
 * Explores a scenario. Resolves when no execution fails; throws an {@link ExplorationFailure} that shows one which does.
 * One at a time in a thread.
 *
 * @throws ScenarioError for what cannot be explored; ScheduleError for what cannot be replayed.
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
  if (asked?.selects(name) === false) return { name, ...nothing, truncated: true, milliseconds: 0 }
  const all = { ...options, ...asked?.override }
  const own = await inTask(() => outcomeOf(() => new Exploration(name, describe, all).run()))
  const outcome = asked === undefined ? own : await asked.ended(name, own)
  if ('failure' in outcome) throw outcome.failure
  if (isSameSearch(options, all)) compare(outcome.report, options)
  return outcome.report
}

/** Whether what was explored is what the program asked for. */
function isSameSearch(options: ExploreOptions, all: ExploreOptions): boolean {
  const deciding = ['mode', 'preemptions', 'seed', 'executions', 'depth', 'replay'] as const
  return options.replay === undefined && deciding.every((key) => all[key] === options[key])
}

const nothing: Counts = { executions: 0, blocked: 0, redundant: 0, operations: 0 }

/** Promise jobs of bodies can only be run from a task, and what follows an await is not one but a promise job itself. */
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

class Exploration {
  private readonly world = new World()
  private readonly scenario: Scenario
  private readonly eventLoop = new EventLoop()
  private readonly counts: Counts = { ...nothing }
  private readonly start = performance.now()

  constructor(
    readonly name: string,
    describe: (t: Scenario) => void,
    readonly options: ExploreOptions,
  ) {
    this.scenario = new Scenario(this.world)
    this.world.weak = options.weak ?? false
    describe(this.scenario)
    if (this.world.cpus.length === 0) throw new ScenarioError(`${name}: a scenario needs at least one cpu()`)
  }

  run(): ExploreReport {
    const restore = this.eventLoop.install()
    const before = setForeignAccess(explored)
    try {
      return this.explore()
    } finally {
      hook.runner = undefined
      takeBack(this.world, 0)
      setForeignAccess(before)
      restore()
    }
  }

  private explore(): ExploreReport {
    const { options } = this
    if (options.replay !== undefined) {
      this.replay(decode(options.replay))
      return this.report(true)
    }
    const { mode = 'exhaustive', preemptions = Infinity, shard } = options
    // Without sleep sets the parts of a search overlap: one shard does it all.
    if (preemptions !== Infinity && shard !== undefined && shard.index > 0) return this.report(false)
    const truncated =
      mode === 'pct' || mode === 'random' ? this.exploreAtRandom(mode) : this.exploreAll(mode === 'enumerate')
    return this.report(truncated)
  }

  /** @throws ExplorationFailure; ScheduleError if nothing is wrong, but something else ran than was recorded. */
  private replay(schedule: readonly Choice[]): void {
    const stacks = new StackRecorder()
    const search = this.followerOf(schedule)
    const found = this.runSearch(search, stacks)
    if (found !== undefined) throw this.failureOf(this.traceOf(found, stacks), 1, found.cause)
    this.counts.executions = 1
    if (search.exact) return
    throw new ScheduleError(
      `the schedule does not fit ${JSON.stringify(this.name)}, which has changed since, or is another scenario; nothing was wrong ` +
        'in the execution that comes nearest',
    )
  }

  private exploreAll(enumerate: boolean): boolean {
    const { world, options } = this
    const search = new Dpor(world, {
      enumerate,
      preemptions: options.preemptions ?? Infinity,
      maxSteps: options.maxSteps ?? 10_000,
      shard: this.shard(),
    })
    const runner = this.runnerFor(search)
    let from = 0
    for (;;) {
      this.finish(runner, runner.execute(), from)
      if (world.territoryGrew) {
        // A handler touched a word for the first time: what was explored before did not take that into account.
        world.territoryGrew = false
        takeBack(world, 0)
        Object.assign(this.counts, { executions: 0, blocked: 0, redundant: 0 })
      } else if (!search.goBack()) return false
      from = world.history.length
      if (this.isOver()) return true
    }
  }

  private shard(): Shard | undefined {
    const { shard, preemptions = Infinity } = this.options
    if (shard === undefined || preemptions !== Infinity) return undefined
    return new Shard(shard, this.world.processes.length)
  }

  private exploreAtRandom(mode: 'pct' | 'random'): boolean {
    const { world, options } = this
    const { depth = 3, maxSteps = 10_000, executions = 10_000 } = options
    const { index = 0, count = 1 } = options.shard ?? {}
    const seed = (options.seed ?? 1) + index * 0x5bd1e995
    const search = new RandomSearch(world, { mode, seed, depth, maxSteps })
    const runner = this.runnerFor(search)
    for (let i = index; i < executions; i += count) {
      this.finish(runner, runner.execute(), 0)
      search.begin()
      if (this.isOver()) return true
    }
    return true
  }

  private runnerFor(search: Search, stacks?: StackRecorder): Runner {
    const { invariants } = this.scenario
    const check = (): void => {
      try {
        withoutSteps(() => invariants.forEach((invariant) => invariant()))
      } catch (error) {
        throw new InvariantError(messageOf(error), { cause: error })
      }
    }
    const afterStep = invariants.length > 0 ? check : undefined
    const runner = new Runner(this.world, search, this.eventLoop, afterStep, stacks)
    hook.runner = runner
    takeBack(this.world, 0)
    runner.runToFirstSteps()
    if (runner.error !== undefined) {
      const verdict = judgeBroken(this.world, runner)
      throw this.failureOf(this.traceOf(verdict), 1, verdict.cause)
    }
    return runner
  }

  /** Counts an execution that has ended, or throws its failure. */
  private finish(runner: Runner, end: number, from: number): void {
    const { counts, world } = this
    counts.operations += world.history.length - from
    const ending = this.judge(runner, end)
    if (ending === 'complete') {
      counts.executions++
      this.options.observe?.(resultsOf(world), counts.executions, world)
    } else if (ending === 'blocked') counts.blocked++
    else if (ending === 'redundant') counts.redundant++
    else if (ending !== 'elsewhere') {
      counts.executions++
      throw this.explain(ending)
    }
  }

  private judge(runner: Runner, end: number): Ending | 'redundant' | 'elsewhere' {
    if (end === ELSEWHERE) return 'elsewhere'
    if (end === REDUNDANT) return 'redundant'
    if (end === FAILED) return judgeBroken(this.world, runner)
    if (end === TOO_LONG)
      return {
        kind: 'limit',
        message: `an execution takes more than ${this.options.maxSteps ?? 10_000} steps: a loop that never ends, or raise maxSteps`,
      }
    if (end !== END) throw new Error(`an execution ended for no known reason (${end})`)
    return judgeEnd(this.world, this.scenario)
  }

  /** Makes the failure of the execution at hand as short as it can be, and gives it as an error. */
  private explain(verdict: Verdict): ExplorationFailure {
    const number = this.counts.executions + this.counts.blocked + this.counts.redundant
    const attempt = (schedule: readonly Choice[]) => {
      const again = this.follow(schedule)
      return again?.kind === verdict.kind ? scheduleOf(this.world) : undefined
    }
    const original = scheduleOf(this.world)
    const first = this.traceOf(verdict)
    const schedule = verdict.kind === 'nondeterminism' ? original : shrink(original, attempt)
    const stacks = new StackRecorder()
    const shown = this.follow(schedule, stacks)
    return shown?.kind === verdict.kind
      ? this.failureOf(this.traceOf(shown, stacks), number, shown.cause)
      : this.failureOf(first, number, verdict.cause)
  }

  /** Runs one schedule; gives what it ends in, if something is wrong. */
  private follow(schedule: readonly Choice[], stacks?: StackRecorder): Verdict | undefined {
    return this.runSearch(this.followerOf(schedule), stacks)
  }
  private followerOf(schedule: readonly Choice[]): FollowSchedule {
    return new FollowSchedule(this.world, schedule, this.options.maxSteps ?? 10_000)
  }
  private runSearch(search: FollowSchedule, stacks?: StackRecorder): Verdict | undefined {
    const runner = this.runnerFor(search, stacks)
    const verdict = this.judge(runner, runner.execute())
    return typeof verdict === 'string' ? undefined : verdict
  }

  private traceOf(verdict: Verdict, stacks?: StackRecorder): Trace {
    const schedule = encode(scheduleOf(this.world))
    return recordTrace(this.name, this.world, this.scenario.names, schedule, verdict, stacks)
  }

  private failureOf(trace: Trace, execution: number, cause: unknown): ExplorationFailure {
    return failureOf(trace, execution, this.options.report, cause)
  }

  private isOver(): boolean {
    const { maxMs = Infinity, executions = Infinity } = this.options
    const { counts } = this
    if (this.options.shard !== undefined && this.ends++ % 256 === 255 && settings()?.stopped() === true)
      return true
    const isRandom = this.options.mode === 'pct' || this.options.mode === 'random'
    if (!isRandom && counts.executions + counts.blocked + counts.redundant >= executions) return true
    return maxMs !== Infinity && this.elapsed() >= maxMs
  }

  private ends = 0

  private elapsed(): number {
    return performance.now() - this.start
  }

  private report(truncated: boolean): ExploreReport {
    const { executions, blocked, redundant, operations } = this.counts
    const milliseconds = this.elapsed()
    return { name: this.name, executions, blocked, redundant, truncated, operations, milliseconds }
  }
}
