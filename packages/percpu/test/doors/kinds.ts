/**
 * The kinds of arguments that operations take. Each knows which odd values it takes; all others
 * must be refused with a typed error, at every operation alike.
 */
import { isStruct } from 'percpu'
import type { World } from './world.js'

/**
 * Whether a value is one of the kind. `'maybe'`: that depends on the object; then it is taken, or
 * refused with a typed error.
 */
export type Verdict = boolean | 'maybe'

export interface Kind {
  readonly name: string
  readonly takes: (value: unknown) => Verdict
  /** Of an options object. */
  readonly fields?: Readonly<Record<string, Kind>>
  /** Values that look right and belong to something else, such as another machine. */
  readonly foreign?: (world: World) => readonly unknown[]
}

function isWhole(value: unknown, low: number, high: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high
}

/** May be left out. */
export function optional(kind: Kind): Kind {
  return { ...kind, takes: (value) => value === undefined || kind.takes(value) }
}

export function whole(low: number, high: number, name = 'whole number'): Kind {
  return { name, takes: (value) => isWhole(value, low, high) }
}

/** The byte address of something: what lies at a number that looks like one depends. */
export const address: Kind = {
  name: 'address',
  takes: (value) => (isWhole(value, 8, 2 ** 33) ? 'maybe' : false),
}
/** As {@link address}, for a field that may hold 0 for none. */
export const addressValue: Kind = {
  name: 'address value',
  takes: (value) => isWhole(value, 0, 2 ** 33) && (value as number) % 8 === 0,
}
/** Of per-CPU memory. */
export const pointer: Kind = {
  name: 'pointer',
  takes: (value) => (isWhole(value, 1, 2 ** 31) ? 'maybe' : false),
}
/** Of a possible CPU; test machines have three. */
export const cpu: Kind = { name: 'CPU number', takes: (value) => isWhole(value, 0, 2) }
export const cpus: Kind = {
  name: 'CPU set',
  takes: (value) => isWhole(value, 0, 2) || (typeof value === 'object' && value !== null && 'maybe'),
}
/** Anything with properties. */
export const anyObject: Kind = {
  name: 'object',
  takes: (value) => (typeof value === 'object' || typeof value === 'function') && value !== null && 'maybe',
}
/** By which threads find the same object. */
export const name: Kind = {
  name: 'name',
  takes: (value) => (typeof value === 'string' && value !== '' ? 'maybe' : false),
}
/** What people read, such as a label. */
export const text: Kind = { name: 'text', takes: (value) => (typeof value === 'string' ? 'maybe' : false) }
/** What it throws passes. */
export const func: Kind = { name: 'function', takes: (value) => typeof value === 'function' }
export const flag: Kind = { name: 'flag', takes: (value) => typeof value === 'boolean' }
export const ms: Kind = { name: 'ms', takes: (value) => typeof value === 'number' && value >= 0 }
export const signal: Kind = { name: 'signal', takes: () => false }
/** What a word holds. A typed array stores any number. */
export const number: Kind = { name: 'number', takes: (value) => typeof value === 'number' }
export const bigint: Kind = { name: 'bigint', takes: (value) => typeof value === 'bigint' }
/** A number that is counted with: the result must be whole and below 2^53. */
export const amount: Kind = {
  name: 'amount',
  takes: (value) => (Number.isSafeInteger(value) ? 'maybe' : false),
}
/** A number, but not NaN. */
export const limit: Kind = {
  name: 'limit',
  takes: (value) => typeof value === 'number' && !Number.isNaN(value),
}
export const int32: Kind = {
  name: '32-bit integer',
  takes: (value) => isWhole(value, -(2 ** 31), 2 ** 31 - 1),
}
export const size: Kind = {
  name: 'size',
  takes: (value) => (typeof value === 'string' || isWhole(value, 1, 2 ** 33) ? 'maybe' : false),
}
export const struct: Kind = { name: 'struct', takes: (value) => isStructSafely(value) && 'maybe' }
/** Of a view of `length` elements. */
export const index = (length: number): Kind => whole(0, length - 1, 'index')

/** An object of the library, which nothing else is taken for. */
export function object(name: string, foreign?: Kind['foreign']): Kind {
  return { name, takes: () => false, ...(foreign && { foreign }) }
}
export const oneOf = (...values: readonly unknown[]): Kind => ({
  name: 'one of several',
  takes: (value) => values.includes(value),
})
/** An object of named options, each of which may be left out; others are refused. */
export function options(fields: Readonly<Record<string, Kind>>): Kind {
  const takes = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && !isProxyThatThrows(value) && isPlainEmpty(value)
  return { name: 'options', takes, fields }
}
/** Whether a collection is made. */
export const create = optional(oneOf(true, false, 'new'))
/** Of calls that wait. */
export const wait = options({ timeout: optional(ms), signal: optional(signal) })

/** Without own or inherited names: nothing in it to refuse. */
function isPlainEmpty(value: object): boolean {
  for (const name in value) if (name !== '') return false
  return true
}
function isProxyThatThrows(value: object): boolean {
  try {
    Object.keys(value)
    return false
  } catch (error) {
    return error instanceof Error
  }
}
function isStructSafely(value: unknown): boolean {
  return !(typeof value === 'object' && value !== null && isProxyThatThrows(value)) && isStruct(value)
}
