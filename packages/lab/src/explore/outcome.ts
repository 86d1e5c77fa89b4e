/** The outcome of an exploration. */
import type { ExplorationFailure } from './failure.js'

export interface ExploreReport {
  readonly name: string
  /** Complete executions. */
  readonly executions: number
  /** Executions broken off in a spin loop, whose end others show. */
  readonly blocked: number
  /** Executions broken off because an equivalent one had been explored. */
  readonly redundant: number
  /**
   * Executions that filters left out: complete ones, which `executions` has, and ones that cannot
   * end, which `blocked` has.
   */
  readonly leftOut: number
  /** Complete executions that filters did not leave out. */
  readonly checked: number
  /** Whether a limit ended the search before everything was explored. */
  readonly truncated: boolean
  /** Steps taken. */
  readonly operations: number
  /** Whether a body has accessed shared memory in any execution. */
  readonly touchesMemory: boolean
  readonly milliseconds: number
}

/** How one exploration ended, or how one shard of it did. */
export type Outcome = { readonly report: ExploreReport } | { readonly failure: ExplorationFailure }

/** Sums of an exploration. */
export interface Counts {
  executions: number
  blocked: number
  redundant: number
  leftOut: number
  checked: number
  operations: number
  touchesMemory: boolean
}

export const noCounts: Counts = {
  executions: 0,
  blocked: 0,
  redundant: 0,
  leftOut: 0,
  checked: 0,
  operations: 0,
  touchesMemory: false,
}

/** What to do about accesses that the lab does not see. */
export const toBeSeen =
  'use the library that `percpu` of percpu-lab is. Code with its own typed arrays and Atomics is seen ' +
  'when it is instrumented: npx percpu-lab FILE --instrument PATH-OF-THAT-CODE (docs/lab.md)'
