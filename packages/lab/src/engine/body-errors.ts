/** Errors in the code of a CPU. */
import type { Process } from './process.js'

/** A body threw `cause`: an assertion as a rule. */
export class BodyError extends Error {
  constructor(
    readonly process: Process,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause))
  }
}

/** The code of a CPU did something else when it was given the same values again. */
export class NondeterminismError extends Error {}
