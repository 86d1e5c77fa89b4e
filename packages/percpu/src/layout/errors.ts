import { PercpuError } from '../errors.js'

/** The struct, field and numbers that a {@link LayoutError} speaks of. */
export interface LayoutFault {
  /** Name of the struct. */
  readonly struct?: string
  /** Path of the field, as `arch.lpid`. */
  readonly field?: string
  /** The rule that was broken: the name of a contract (`size`, `within` …) or `definition`. */
  readonly rule: string
  /** The number the layout has. */
  readonly found?: unknown
  /** The number the rule allows. */
  readonly allowed?: unknown
}

/**
 * A definition of a struct is malformed, or breaks one of its own contracts. It is thrown while the
 * module with the definition is loaded: nothing has been written anywhere.
 */
export class LayoutError extends PercpuError {
  static override readonly name = 'LayoutError'
  readonly code = 'PERCPU_LAYOUT'
  readonly struct: string | undefined
  readonly field: string | undefined
  readonly rule: string

  constructor(message: string, fault: LayoutFault, options?: ErrorOptions) {
    super(message, { ...fault }, options)
    this.struct = fault.struct
    this.field = fault.field
    this.rule = fault.rule
  }
}

/** A definition that makes no sense, before any layout exists. */
export function badDefinition(message: string, fault: Omit<LayoutFault, 'rule'> = {}): LayoutError {
  return new LayoutError(message, { ...fault, rule: 'definition' })
}

/** Runs `define`. What it throws that is no error of the library becomes a LayoutError. */
export function defining<Result>(what: string, define: () => Result): Result {
  try {
    return define()
  } catch (error) {
    if (error instanceof PercpuError) throw error
    throw new LayoutError(`${what}: the definition cannot be read`, { rule: 'definition' }, { cause: error })
  }
}

/**
 * The accessor that `init` was given is used after `init` has returned. Nothing was read or
 * written.
 */
export class DraftError extends PercpuError {
  static override readonly name = 'DraftError'
  readonly code = 'PERCPU_DRAFT'
}
