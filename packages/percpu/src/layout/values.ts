/** What words of memory hold, as programs write it; and checks of what describes layouts. */
import { checkInt32, checkMilliseconds, checkAtLeast, refused } from '../check.js'
import { PercpuError, type ArgumentError } from '../errors.js'
import type { AddressType, Scalar } from './types.js'

/** Of the values of a type. Nothing else is stored: a typed array would convert it, or throw. */
export function typeOfValue(type: Scalar | AddressType): 'number' | 'bigint' {
  return type.form === 'scalar' && type.name === 'u64' ? 'bigint' : 'number'
}

/** The error for a value that is not of the type that a field or cell holds. */
export function notA(type: 'number' | 'bigint', value: unknown): ArgumentError {
  return refused('value', value, `not a ${type}`)
}

/** Of a wait for a 32-bit word. */
export function checkWaitOf(value: number, timeout: number | undefined): void {
  checkInt32('value', value)
  checkMilliseconds('timeout', timeout)
}
/** Of threads to wake; undefined for all. */
export function checkCountToWake(count: number | undefined): void {
  checkAtLeast('count', count, 0)
}

/**
 * Runs `read`, which reads what a user passed as `what`: anything that this makes it throw, and
 * that is no error of the library, says that it is something else.
 */
export function reading<Result>(what: string, value: unknown, read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    if (error instanceof PercpuError) throw error
    throw refused(what, value, 'none', {}, error)
  }
}
