/** By what a struct is known as one. */
import type { Struct } from './struct-type.js'

/** A property of every struct. */
export const brand = Symbol.for('percpu.struct')

/** Whether `value` is a struct, of this copy of the library or another. */
export function isStruct(value: unknown): value is Struct {
  try {
    return typeof value === 'object' && value !== null && brand in value
  } catch {
    // A proxy that does not answer.
    return false
  }
}
