/**
 * One exploration. It builds the world of a scenario, lets a search run through its executions, and
 * explains the first failure.
 */
import { EventLoop } from '../engine/event-loop.js'
import { exploredAccess } from '../engine/foreign-access.js'
import { hook, withoutSteps } from '../engine/hook.js'
import { Runner } from '../engine/runner.js'
import { ELSEWHERE, END, FAILED, REDUNDANT, type Search, TOO_LONG } from '../engine/search.js'
import { takeBack } from '../engine/step.js'
import { World } from '../engine/world.js'
import { setForeignAccess } from '../foreign/access.js'
import { judgeEndless } from '../oracles/endless.js'
import { InvariantError, judgeBroken, judgeEnd, messageOf, resultsOf } from '../oracles/judge.js'
import type { Ending, Verdict } from '../oracles/verdict.js'
import { checkIsSync, ScenarioError } from '../check.js'
import { Scenario } from '../scenario/scenario.js'
import { Dpor } from '../search/dpor.js'
import { RandomSearch } from '../search/random.js'
import { FollowSchedule } from '../search/follow.js'
import { type Choice, decode, encode, scheduleOf, ScheduleError } from '../search/schedule.js'
import { Shard } from '../search/shard.js'
import { shrink } from '../search/shrink.js'
import type { Trace } from '../trace.js'
import { failureOf } from './explain.js'
import type { ExplorationFailure } from './failure.js'
import type { ExploreOptions } from './options.js'
import { noCounts, toBeSeen, type Counts, type ExploreReport } from './outcome.js'
import { recordTrace } from './record-trace.js'
import { settings } from './settings.js'
import { StackRecorder } from './stacks.js'
import { MemoryBefore } from './unseen.js'

export class Exploration {
  private readonly world = new World()
  private readonly scenario: Scenario
  private readonly eventLoop = new EventLoop()
  private readonly counts: Counts = { ...noCounts }
  private readonly start = performance.now()

  constructor(
    readonly name: string,
    describe: (t: Scenario) => unknown,
    readonly options: ExploreOptions,
  ) {
    this.scenario = new Scenario(this.world)
    this.world.weak = options.weak ?? false
    checkIsSync(`${name}: the scenario`, describe(this.scenario))
    this.scenario.isDescribed = true
    if (this.world.cpus.length === 0) throw new ScenarioError(`${name}: a scenario needs at least one cpu()`)
  }

  run(): ExploreReport {
    const restore = this.eventLoop.install()
    const access = setForeignAccess(exploredAccess)
    const memory = new MemoryBefore(this.scenario)
    let failure: unknown
    try {
      return this.explore()
    } catch (error) {
      failure = error
      throw error
    } finally {
      hook.runner = undefined
      takeBack(this.world, 0)
      setForeignAccess(access)
      restore()
      if (this.allIsTakenBack()) memory.checkIsBack(failure)
    }
  }

  /** Whether a body has taken steps, and none is kept: those of `prepare` are. */
  private allIsTakenBack(): boolean {
    return this.counts.touchesMemory && this.world.cpus.every(({ preparedLength }) => preparedLength === 0)
  }

  private explore(): ExploreReport {
    const { options } = this
    if (options.replay !== undefined) {
      this.replay(decode(options.replay))
      return this.report(true)
    }
    const { mode = 'exhaustive', preemptions = Infinity, shard } = options
    // Without sleep sets the parts of a search overlap: the first shard does it all.
    if (preemptions !== Infinity && shard !== undefined && shard.index > 0) return this.report(false)
    const truncated =
      mode === 'pct' || mode === 'random' ? this.exploreAtRandom(mode) : this.exploreAll(mode === 'enumerate')
    return this.report(truncated)
  }

  /**
   * @throws ExplorationFailure
   * @throws ScheduleError if nothing is wrong, but the execution is not the one that was recorded
   */
  private replay(schedule: readonly Choice[]): void {
    const stacks = new StackRecorder()
    const search = this.followerOf(schedule)
    const found = this.runSearch(search, stacks)
    if (found !== undefined) throw this.failureOf(this.traceOf(found, stacks), 1, found.cause)
    this.counts.executions = 1
    if (search.exact) return
    throw new ScheduleError(
      `the schedule does not fit ${JSON.stringify(this.name)}, which has changed since, or is another scenario. ` +
        'Nothing is wrong in the execution that comes nearest.',
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
        // A handler touched a word for the first time: the executions before did not take that into
        // account.
        world.territoryGrew = false
        takeBack(world, 0)
        Object.assign(this.counts, { executions: 0, blocked: 0, redundant: 0, leftOut: 0, checked: 0 })
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
        withoutSteps(() => invariants.forEach((invariant) => checkIsSync('the invariant', invariant())))
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
    counts.touchesMemory ||= world.touchesMemory()
    counts.operations += world.history.length - from
    const ending = this.judge(runner, end)
    if (ending === 'left out' || ending === 'left out unended') counts.leftOut++
    else if (ending === 'complete') counts.checked++
    if (ending === 'complete' || ending === 'left out') {
      counts.executions++
      this.options.observe?.(resultsOf(world), counts.executions, world)
    } else if (ending === 'blocked' || ending === 'left out unended') counts.blocked++
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
      return judgeEndless(this.world, this.scenario.names, this.options.maxSteps ?? 10_000)
    if (end !== END) throw new Error(`an execution ended for no known reason (${end})`)
    const ending = judgeEnd(this.world, this.scenario)
    if (typeof ending === 'string' || this.counts.touchesMemory || this.world.touchesMemory()) return ending
    // Without a step, what looks wrong is as a rule what the lab has not seen.
    return {
      ...ending,
      message: `${ending.message} (no body touched shared memory through the lab: ${toBeSeen})`,
    }
  }

  /** Makes the failure of the execution at hand as short as it can be; returns it as an error. */
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

  /** Runs one schedule; returns its failure, if there is one. */
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
    return { name: this.name, ...this.counts, truncated, milliseconds: this.elapsed() }
  }
}
