/**
 * Splits a complete search among processes that share nothing.
 *
 * At the first few states of an execution every process that can step is tried, except those that sleep: no execution found later
 * can ask for more there, so the subtrees below do not depend on each other. They are numbered as the search meets them, and shard
 * `index` explores those whose number is `index` modulo `count`. All shards walk the same first states, so they agree on
 * the numbers without a word; the executions of all shards together are those of the whole search.
 */

export interface ShardOptions {
  /** Which one, from 0. */
  readonly index: number
  readonly count: number
}

/** Subtrees for each shard, about, so that none has much less to do than another. */
const subtreesEach = 32

export class Shard {
  /** At the states before that many steps, everything is tried. */
  readonly depth: number
  private met = 0

  constructor(
    private readonly options: ShardOptions,
    /** Processes at the start. */
    processes: number,
  ) {
    this.depth = Math.ceil(Math.log(subtreesEach * options.count) / Math.log(Math.max(2, processes)))
  }

  /** The search begins, or begins again. */
  begin(): void {
    this.met = 0
  }

  /** A subtree begins, or an execution ends before one could: whether it is this shard's. */
  takes(): boolean {
    return this.met++ % this.options.count === this.options.index
  }
}
