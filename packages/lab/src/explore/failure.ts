/** The error of an exploration. */
import type { FailureKind, Trace } from '../trace.js'

/** An execution in which something is wrong, or a search with other counts than expected. */
export class ExplorationFailure extends Error {
  readonly code = 'LAB_FAILURE'
  override readonly name = 'ExplorationFailure'
  constructor(
    readonly kind: FailureKind,
    message: string,
    /**
     * The execution that shows the failure; undefined when the failure is one of the whole search.
     */
    readonly trace: Trace | undefined,
    /** The number of executions that it took to find, this one included. */
    readonly execution: number,
    /**
     * The file that shows the execution step by step; undefined where there is nothing to show, or
     * the file could not be written.
     */
    readonly report: string | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
