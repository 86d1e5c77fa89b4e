/** The options of an exploration. */
import type { World } from '../engine/world.js'
import * as check from '../check.js'
import type { ShardOptions } from '../search/shard.js'

export interface ExploreOptions {
  /**
   * 'exhaustive' (default): one execution of each class of equivalent ones. 'enumerate': every
   * interleaving. 'pct', 'random': executions drawn at random.
   */
  readonly mode?: 'exhaustive' | 'enumerate' | 'pct' | 'random'
  /** The most switches away from a CPU that could go on, in one execution. Default: any number. */
  readonly preemptions?: number
  /**
   * The number of executions that the random modes make (default 10,000). A complete search is
   * broken off after so many.
   */
  readonly executions?: number
  /** Milliseconds after which the search is broken off. Default: none. */
  readonly maxMs?: number
  /** The most steps of one execution: more are a failure. Default 10,000. */
  readonly maxSteps?: number
  /** The seed of the random modes: the same seed draws the same executions. Default 1. */
  readonly seed?: number
  /**
   * The number of orderings that must come together in the bugs that 'pct' looks for. Default 3.
   */
  readonly depth?: number
  /**
   * Lets plain loads of racy words give any value that the memory model allows, but for load
   * buffering. Default false.
   */
  readonly weak?: boolean
  /** A schedule, of a failure: its execution is the only one that runs. */
  readonly replay?: string
  /**
   * The folder for the page of a failure. Default: that of the environment's PERCPU_LAB_REPORT, or
   * one that the process makes for itself, below the system's for temporary files.
   */
  readonly report?: string
  /** Explores one of several parts of the search. The sums of all parts are those of the whole. */
  readonly shard?: ShardOptions
  /**
   * Counts that there must be: other ones are a failure. A search that has become smaller finds
   * less.
   */
  readonly expect?: { readonly executions?: number; readonly blocked?: number }
  /**
   * Told of each complete execution: the results of the bodies, and its number. When an interrupt
   * handler touches a word for the first time, the search starts again, and the numbers do at 1.
   * All earlier calls are void then.
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

/** @throws ScenarioError for what cannot be explored */
export function checkExploration(name: unknown, describe: unknown, options: ExploreOptions): void {
  if (typeof name !== 'string') throw new check.ScenarioError('an exploration has a name, a string')
  check.checkFunction(`${name}: the scenario`, describe)
  check.checkOptions(name, options, optionValues)
  const counts = { executions: check.wholeFrom(0), blocked: check.wholeFrom(0) }
  check.checkOptions(`${name}: expect`, options.expect, counts)
}
