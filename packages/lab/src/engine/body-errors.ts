/** What can go wrong in the code of a CPU. */
import type { Process } from './process.js'

/** What a body threw, an assertion as a rule. */
export class BodyError extends Error {
  constructor(
    readonly process: Process,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? cause.message : String(cause))
  }
}

/** Code that did something else when it was given the same values again. */
export class NondeterminismError extends Error {}
