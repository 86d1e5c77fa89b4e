/** Values: what they may be, and how they are encoded. */
import { checkBigInt, checkInt32, checkWord, isSafely, refused, shown } from '../machine/check.js'
import { ArgumentError } from '../errors.js'
import { isThenable } from '../thenable.js'
import type { TypedStruct } from '../layout/accessor-types.js'
import type { AnyStruct, Infer, ReadonlyAccessor, ReadonlyArrayView } from '../layout/index.js'
import { decodeBytes, encodeBytes } from './bytes.js'
import { EntryTooLargeError } from './errors.js'
import { MAX_VALUE_BYTES } from './limits.js'
import type { Scratch } from './scratch.js'
import { decodeText, encodeText } from './text.js'

/** Of each kind of value: what it is in JavaScript. */
export interface MapValues {
  /** Any string: at most 1,048,575 bytes of UTF-8. */
  readonly string: string
  /** At most 1,048,575 bytes, which are copied. */
  readonly bytes: Uint8Array
  /**
   * What JSON can say, at most 1,048,575 bytes of it, as `JSON.stringify` writes it. It is parsed
   * anew by each `get`.
   */
  readonly json: unknown
  readonly i32: number
  readonly u32: number
  /** Any number. */
  readonly f64: number
  /** From 0 to 2^64 - 1. */
  readonly u64: bigint
}
/** What values of a collection can be: docs/collections.md. */
export type MapValueKind = keyof MapValues
declare const jsonType: unique symbol
/** The kind `'json'`, for values of one type. Only TypeScript knows of that. */
export type Json<T> = 'json' & { readonly [jsonType]: T }
/**
 * The kind `'json'`, for values that TypeScript takes to be of type `T`. Nobody checks what others
 * have stored: all threads must say the same.
 */
export function json<T>(): Json<T> {
  return 'json' as Json<T>
}

/** What values can be: of a kind, or structs, whose fields are not atomic. */
export type MapValueType = MapValueKind | AnyStruct

/** The values of a map, by what it was opened with: plain objects if they are structs. */
export type MapValueOf<V> = V extends { readonly [jsonType]: infer T }
  ? T
  : V extends MapValueKind
    ? MapValues[V]
    : Infer<V>
/** What `view` of such a map gives: bytes and structs as they lie in shared memory, else values. */
export type MapViewOf<V> = V extends 'bytes'
  ? ReadonlyArrayView<number>
  : V extends MapValueKind
    ? MapValueOf<V>
    : V extends TypedStruct
      ? ReadonlyAccessor<V>
      : never

/** How values of one kind are encoded, in the scratch. */
export interface ValueCodec<V> {
  /** @throws ArgumentError; EntryTooLargeError. */
  readonly encode: (value: V, into: Scratch) => void
  readonly decode: (from: Scratch) => V
}

const u64 = 2n ** 64n - 1n

function encodeLimited(text: string, value: unknown, into: Scratch): void {
  if (!encodeText(into, text, MAX_VALUE_BYTES)) throw tooLong(value)
}
function tooLong(value: unknown): EntryTooLargeError {
  return new EntryTooLargeError(`the value ${shown(value)} has more than ${MAX_VALUE_BYTES} bytes`, {
    limit: MAX_VALUE_BYTES,
  })
}
function encode32(value: number, into: Scratch): void {
  into.words[0] = value
  into.length = 4
}

export const valueCodecs: { readonly [Kind in MapValueKind]: ValueCodec<MapValues[Kind]> } = {
  string: {
    encode: (value, into) => {
      if (typeof value !== 'string') throw refused('value', value, 'not a string')
      encodeLimited(value, value, into)
    },
    decode: decodeText,
  },
  bytes: {
    encode: (value, into) => {
      if (!encodeBytes('value', value, into, MAX_VALUE_BYTES)) throw tooLong(value)
    },
    decode: decodeBytes,
  },
  json: {
    encode: (value, into) => {
      encodeLimited(jsonOf(value), value, into)
    },
    decode: (from): unknown => JSON.parse(decodeText(from)),
  },
  i32: {
    encode: (value, into) => {
      checkInt32('value', value)
      encode32(value, into)
    },
    decode: ({ words }) => words[0] ?? 0,
  },
  u32: {
    encode: (value, into) => {
      if (typeof value !== 'number' || value >>> 0 !== value)
        throw refused('value', value, 'not a whole number from 0 to 2^32 - 1')
      encode32(value, into)
    },
    decode: ({ words }) => (words[0] ?? 0) >>> 0,
  },
  f64: {
    encode: (value, into) => {
      checkWord('value', value)
      into.reals[0] = value
      into.length = 8
    },
    decode: ({ reals }) => reals[0] ?? 0,
  },
  u64: {
    encode: (value, into) => {
      checkBigInt('value', value)
      if (value < 0n || value > u64) throw refused('value', value, 'not from 0 to 2^64 - 1')
      into.words[0] = Number(BigInt.asIntN(32, value))
      into.words[1] = Number(BigInt.asIntN(32, value >> 32n))
      into.length = 8
    },
    decode: ({ words }) => (BigInt((words[1] ?? 0) >>> 0) << 32n) | BigInt((words[0] ?? 0) >>> 0),
  },
}

/** Undefined for a function and the like. */
const stringify: (value: unknown) => string | undefined = JSON.stringify
/** @throws ArgumentError for what JSON cannot say. */
function jsonOf(value: unknown): string {
  let text: string | undefined
  let isPromise: boolean
  try {
    isPromise = isThenable(value)
    text = stringify(value)
  } catch (error) {
    const why = isSafely(() => error instanceof Error) ? `: ${(error as Error).message}` : ''
    throw new ArgumentError(`value: JSON cannot say it${why}`, { value }, { cause: error })
  }
  // JSON would say `{}`.
  if (isPromise) throw refused('value', value, 'a promise: await it first')
  // JSON would say `null` for NaN and the infinities; inside of objects it does.
  const isOther = typeof value === 'number' && !Number.isFinite(value)
  if (text !== undefined && !isOther) return text
  throw refused('value', value, 'nothing that JSON can say')
}
