/**
 * The base of every error that percpu throws on purpose.
 *
 * Each subclass has a literal `code` (documented in docs/errors.md with what to do), carries the values it speaks of
 * as `details`, and wraps what led to it as `cause`.
 */
export abstract class PercpuError extends Error {
  /** A stable, literal identifier such as `'PERCPU_NO_FREE_CPU'`. */
  abstract readonly code: string
  /** The values that the message names: addresses, CPUs, fields, what was expected and what was found. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.details = details
  }
}

/** An argument has the wrong type, is out of range, or contradicts another one. Nothing was changed. */
export class ArgumentError extends PercpuError {
  readonly code = 'PERCPU_ARGUMENT'
}
