/** What an exploration is asked for. */
import type { World } from '../engine/world.js'
import * as check from '../scenario/check.js'
import type { ShardOptions } from '../search/shard.js'

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
  /**
   * The folder for the page of a failure. Default: the environment's PERCPU_LAB_REPORT, or one that
   * the process makes for itself, below the system's for temporary files.
   */
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

/** @throws ScenarioError for what cannot be explored */
export function checkExploration(name: unknown, describe: unknown, options: ExploreOptions): void {
  if (typeof name !== 'string') throw new check.ScenarioError('an exploration has a name, a string')
  check.checkFunction(`${name}: the scenario`, describe)
  check.checkOptions(name, options, optionValues)
  const counts = { executions: check.wholeFrom(0), blocked: check.wholeFrom(0) }
  check.checkOptions(`${name}: expect`, options.expect, counts)
}
