/** ECMAScript's conversions of arguments. Each runs the user's `valueOf` exactly once. */
import { types } from 'node:util'
import type { Element, IntegerView, SharedView } from './access.js'

/** ToNumber: a TypeError for bigints and symbols. */
export function toNumber(value: unknown): number {
  return (value as number) - 0
}

/** ToIntegerOrInfinity. */
export function toInteger(value: unknown): number {
  const number = toNumber(value)
  return Number.isNaN(number) ? 0 : Math.trunc(number) + 0
}

/** ToIndex: a RangeError for negative numbers and ones from 2^53 on. */
export function toIndex(value: unknown, what: string): number {
  const index = toInteger(value)
  if (index < 0 || index > Number.MAX_SAFE_INTEGER) throw new RangeError(`${what} out of range: ${index}`)
  return index
}

export function holdsBigInts(view: SharedView): boolean {
  return types.isBigInt64Array(view) || types.isBigUint64Array(view)
}

/** ToBigInt. Unlike `BigInt` it throws a TypeError for numbers. So many bits cut nothing off. */
function toBigInt(value: unknown): bigint {
  return BigInt.asIntN(Number.MAX_SAFE_INTEGER, value as bigint)
}

/** ToNumber or ToBigInt, for a plain store. */
export function toElement(view: SharedView, value: unknown): Element {
  return holdsBigInts(view) ? toBigInt(value) : toNumber(value)
}

/** ToIntegerOrInfinity or ToBigInt, for an atomic operation. */
export function toAtomicElement(view: IntegerView, value: unknown): Element {
  return holdsBigInts(view) ? toBigInt(value) : toInteger(value)
}

/**
 * A relative index, as of `slice`, clamped to 0 … `length`. Negative ones count from the end.
 * `missing` stands for undefined.
 */
export function toRelative(value: unknown, length: number, missing: number): number {
  if (value === undefined) return missing
  const index = toInteger(value)
  return index < 0 ? Math.max(0, length + index) : Math.min(index, length)
}

/** An intrinsic getter. A view may have a property of its own with the same name. */
export function getterOf(prototype: object, name: PropertyKey): (view: object) => unknown {
  const get: unknown = Reflect.get(Object.getOwnPropertyDescriptor(prototype, name) ?? {}, 'get')
  if (typeof get !== 'function') throw new TypeError(`no getter ${String(name)}`)
  return (view) => Reflect.apply(get, view, []) as unknown
}
