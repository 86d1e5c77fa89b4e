/** What an exploration comes to. */
import type { ExplorationFailure } from './failure.js'

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

/** How one exploration ended, or how one shard of it did. */
export type Outcome = { readonly report: ExploreReport } | { readonly failure: ExplorationFailure }

/** Sums of an exploration. */
export interface Counts {
  executions: number
  blocked: number
  redundant: number
  operations: number
}

export const nothing: Counts = { executions: 0, blocked: 0, redundant: 0, operations: 0 }
