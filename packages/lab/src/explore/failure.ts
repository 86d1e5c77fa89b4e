/** What an exploration throws. */
import type { FailureKind, Trace } from '../trace.js'

/** An execution in which something is wrong, or a search that is not what it was. */
export class ExplorationFailure extends Error {
  readonly code = 'LAB_FAILURE'
  override readonly name = 'ExplorationFailure'
  constructor(
    readonly kind: FailureKind,
    message: string,
    /** The execution that shows it; undefined when it is about the whole search. */
    readonly trace: Trace | undefined,
    /** How many executions it took to find, this one included. */
    readonly execution: number,
    /**
     * The file that shows it step by step; undefined where there is nothing to show, or it could
     * not be written.
     */
    readonly report: string | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
