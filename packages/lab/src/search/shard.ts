/**
 * Splits a complete search among processes that share nothing.
 *
 * At the first few states of an execution every process that can step is tried, except the ones
 * that sleep. No execution found later can ask for more there, so the subtrees below do not depend
 * on each other. They are numbered as the search meets them. Shard `index` explores the subtrees
 * whose number is `index` modulo `count`.
 *
 * All shards walk the same first states, so they agree on the numbers without messages. The
 * executions of all shards together are the ones of the whole search.
 */

export interface ShardOptions {
  /** Number of the shard, from 0. */
  readonly index: number
  readonly count: number
}

/** About so many subtrees for each shard, so that none has much less to do than another. */
const subtreesEach = 32

export class Shard {
  /** The number of steps up to which everything is tried. */
  readonly depth: number
  private met = 0

  constructor(
    private readonly options: ShardOptions,
    /** The number of processes at the start. */
    processes: number,
  ) {
    this.depth = Math.ceil(Math.log(subtreesEach * options.count) / Math.log(Math.max(2, processes)))
  }

  /** The search begins, or begins again. */
  begin(): void {
    this.met = 0
  }

  /**
   * Whether a subtree that begins, or an execution that ends before one could, belongs to this
   * shard.
   */
  takes(): boolean {
    return this.met++ % this.options.count === this.options.index
  }
}
