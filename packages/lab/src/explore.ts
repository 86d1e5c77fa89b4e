/**
 * `explore`: builds the world of a scenario, lets a search run through its executions, and turns the first failure into something to
 * read.
 */
import { EventLoop } from './engine/event-loop.js'
import { explored } from './engine/foreign-access.js'
import { hook, withoutSteps } from './engine/hook.js'
import { END, FAILED, REDUNDANT, Runner, type Search, TOO_LONG } from './engine/runner.js'
import { World } from './engine/world.js'
import { ExplorationFailure } from './failure.js'
import { InvariantError, judgeBroken, judgeEnd, messageOf, type Ending, type Verdict } from './judge.js'
import { setForeignAccess } from './foreign/access.js'
import { Scenario, ScenarioError } from './scenario.js'
import { Dpor } from './search/dpor.js'
import { RandomSearch } from './search/random.js'
import { type Choice, decode, encode, FollowSchedule, scheduleOf } from './search/schedule.js'
import { shrink } from './search/shrink.js'
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
  /** How many there must be. A search that has become smaller finds less. */
  readonly expect?: { readonly executions?: number; readonly blocked?: number }
  /**
   * Told of each complete execution: the results of the bodies, and its number. The number starts again at 1 when the search has to
   * (an interrupt handler touched a word for the first time): what was told before is void.
   */
  readonly observe?: (results: readonly unknown[], execution: number, world: World) => void
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
 */
export async function explore(
  name: string,
  describe: (t: Scenario) => void,
  options: ExploreOptions = {},
): Promise<ExploreReport> {
  if (hook.runner !== undefined)
    throw new ScenarioError('one exploration at a time: await the other one first')
  // Promise jobs of bodies can only be run from a task, and what follows an await is not one but a promise job itself.
  const report = new Promise<ExploreReport>((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(new Exploration(name, describe, options).run())
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    })
  })
  return await report
}

class Exploration {
  private readonly world = new World()
  private readonly scenario: Scenario
  private readonly eventLoop = new EventLoop()
  private readonly counts: Counts = { executions: 0, blocked: 0, redundant: 0, operations: 0 }
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
      this.world.goBack(0)
      setForeignAccess(before)
      restore()
    }
  }

  private explore(): ExploreReport {
    const { options } = this
    if (options.replay !== undefined) {
      const failed = this.follow(decode(options.replay))
      if (failed !== undefined) throw failed
      return this.report(false)
    }
    const { mode = 'exhaustive' } = options
    const truncated =
      mode === 'pct' || mode === 'random' ? this.exploreAtRandom(mode) : this.exploreAll(mode === 'enumerate')
    const report = this.report(truncated)
    this.compare(report)
    return report
  }

  private exploreAll(enumerate: boolean): boolean {
    const { world, options } = this
    const search = new Dpor(world, {
      enumerate,
      preemptions: options.preemptions ?? Infinity,
      maxSteps: options.maxSteps ?? 10_000,
    })
    const runner = this.runnerFor(search)
    let from = 0
    for (;;) {
      this.finish(runner, runner.execute(), from)
      if (world.territoryGrew) {
        // A handler touched a word for the first time: what was explored before did not take that into account.
        world.territoryGrew = false
        world.goBack(0)
        Object.assign(this.counts, { executions: 0, blocked: 0, redundant: 0 })
      } else if (!search.goBack()) return false
      from = world.history.length
      if (this.isOver()) return true
    }
  }

  private exploreAtRandom(mode: 'pct' | 'random'): boolean {
    const { world, options } = this
    const { seed = 1, depth = 3, maxSteps = 10_000, executions = 10_000 } = options
    const search = new RandomSearch(world, { mode, seed, depth, maxSteps })
    const runner = this.runnerFor(search)
    for (let i = 0; i < executions; i++) {
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
    this.world.goBack(0)
    runner.prepare()
    if (runner.error !== undefined)
      throw this.failureOf(judgeBroken(this.world, runner), scheduleOf(this.world))
    return runner
  }

  /** Counts an execution that has ended, or throws its failure. */
  private finish(runner: Runner, end: number, from: number): void {
    const { counts, world } = this
    counts.operations += world.history.length - from
    const ending = this.judge(runner, end)
    if (ending === 'complete') {
      counts.executions++
      this.options.observe?.(this.results(), counts.executions, world)
    } else if (ending === 'blocked') counts.blocked++
    else if (ending === 'redundant') counts.redundant++
    else {
      counts.executions++
      throw this.explain(ending)
    }
  }

  private judge(runner: Runner, end: number): Ending | 'redundant' {
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
    const found = this.counts.executions + this.counts.blocked + this.counts.redundant
    const attempt = (schedule: readonly Choice[]) => {
      const again = this.follow(schedule)
      return again?.kind === verdict.kind ? scheduleOf(this.world) : undefined
    }
    const original = scheduleOf(this.world)
    const schedule = verdict.kind === 'nondeterminism' ? original : shrink(original, attempt)
    const stacks = new StackRecorder()
    const shown = this.follow(schedule, stacks)
    return shown === undefined || shown.kind !== verdict.kind
      ? this.failureOf(verdict, original, found)
      : new ExplorationFailure(shown.kind, shown.message, shown.trace, found, { cause: shown.cause })
  }

  /** Runs one schedule; gives the failure that it ends in. */
  private follow(schedule: readonly Choice[], stacks?: StackRecorder): ExplorationFailure | undefined {
    const search = new FollowSchedule(this.world, schedule, this.options.maxSteps ?? 10_000)
    const runner = this.runnerFor(search, stacks)
    const ending = this.judge(runner, runner.execute())
    if (typeof ending === 'string') return undefined
    return this.failureOf(ending, scheduleOf(this.world), 1, stacks)
  }

  private failureOf(
    verdict: Verdict,
    schedule: readonly Choice[],
    found = 1,
    stacks?: StackRecorder,
  ): ExplorationFailure {
    const trace = recordTrace(this.name, this.world, this.scenario.names, encode(schedule), verdict, stacks)
    const message = `${this.name}: ${trace.failure?.message ?? verdict.message}`
    return new ExplorationFailure(verdict.kind, message, trace, found, { cause: verdict.cause })
  }

  private results(): unknown[] {
    const results: unknown[] = []
    for (const { main, number, result } of this.world.cpus) if (main.kind === 'cpu') results[number] = result
    return results
  }

  private isOver(): boolean {
    const { maxMs = Infinity, executions = Infinity } = this.options
    const { counts } = this
    const isRandom = this.options.mode === 'pct' || this.options.mode === 'random'
    if (!isRandom && counts.executions + counts.blocked + counts.redundant >= executions) return true
    return maxMs !== Infinity && this.elapsed() >= maxMs
  }

  private elapsed(): number {
    return performance.now() - this.start
  }

  private report(truncated: boolean): ExploreReport {
    const { executions, blocked, redundant, operations } = this.counts
    const milliseconds = this.elapsed()
    return { name: this.name, executions, blocked, redundant, truncated, operations, milliseconds }
  }

  private compare(report: ExploreReport): void {
    const { expect = {} } = this.options
    for (const what of ['executions', 'blocked'] as const) {
      const expected = expect[what]
      if (expected === undefined || expected === report[what]) continue
      throw new ExplorationFailure(
        'execution count',
        `${this.name}: ${report[what]} ${what} instead of ${expected}: the code, the scenario or the search has changed`,
        undefined,
        report.executions,
      )
    }
  }
}
