/** What an execution comes to. */
import type { FailureKind } from '../trace.js'

export interface Verdict {
  readonly kind: FailureKind
  readonly message: string
  readonly cause?: unknown
  readonly stuck?: readonly { readonly process: number; readonly waitsFor: string }[]
}

/** 'blocked': a spin loop was stopped that could go on by now; other executions show how. */
export type Ending = 'complete' | 'blocked' | Verdict
