/** The outcome of an execution. */
import type { FailureKind } from '../trace.js'

export interface Verdict {
  readonly kind: FailureKind
  readonly message: string
  readonly cause?: unknown
  readonly stuck?: readonly { readonly process: number; readonly waitsFor: string }[]
  /**
   * The steps of an execution without an end that are shown last: the first turn of a loop, as a
   * rule. The steps after `to` are like them.
   */
  readonly repeats?: { readonly from: number; readonly to: number }
}

/**
 * 'blocked': a CPU stopped in a spin loop could go on by now. Other executions show how it does.
 * 'left out': by a filter, which may also leave out one that cannot end.
 */
export type Ending = 'complete' | 'blocked' | 'left out' | 'left out unended' | Verdict
