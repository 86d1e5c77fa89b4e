/** The errors of litmus tests and of the conformance runner. */
import type { Position } from './syntax.js'

/** The base of these errors: a literal `code`, and the values that the message names. */
export abstract class LitmusError extends Error {
  abstract readonly code: string
  /** The values that the message names. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.details = details
  }
}

/** An error at a place of a litmus file. Lines and columns count from 1. */
abstract class LitmusSourceError extends LitmusError {
  readonly line: number
  readonly column: number

  constructor(message: string, position: Position, details: Readonly<Record<string, unknown>> = {}) {
    super(`line ${position.line}, column ${position.column}: ${message}`, { ...details, ...position })
    this.line = position.line
    this.column = position.column
  }
}
/** The text is no litmus test in the kernel's C format. */
export class LitmusSyntaxError extends LitmusSourceError {
  readonly code = 'LAB_LITMUS_SYNTAX'
}
/**
 * The text is a litmus test, but uses something outside the subset that is understood here
 * (docs/litmus.md).
 */
export class LitmusUnsupportedError extends LitmusSourceError {
  readonly code = 'LAB_LITMUS_UNSUPPORTED'
}
/** There are more candidate executions than the limit. Nothing is known about the test. */
export class LitmusLimitError extends LitmusError {
  readonly code = 'LAB_LITMUS_LIMIT'
}
/** The test cannot run in this way, as a plain shape on real threads, for example. */
export class LitmusRunError extends LitmusError {
  readonly code = 'LAB_LITMUS_RUN'
}
