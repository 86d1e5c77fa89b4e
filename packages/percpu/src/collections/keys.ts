/** Keys: what they may be, and how they are encoded. Different keys have different bytes. */
import { checkBigInt, checkInt32, checkRange, refused, shown } from '../machine/check.js'
import { decodeBytes, encodeBytes } from './bytes.js'
import { EntryTooLargeError } from './errors.js'
import { MAX_KEY_BYTES } from './limits.js'
import type { Scratch } from './scratch.js'
import { decodeText, encodeText } from './text.js'

/** Of each kind of key: what it is in JavaScript. */
export interface MapKeys {
  /** Any string, also one with half a surrogate pair: at most 4095 bytes of UTF-8. */
  readonly string: string
  /** At most 4095 bytes, which are copied. */
  readonly bytes: Uint8Array
  readonly i32: number
  readonly u32: number
  /** A whole number from 0 to 2^53 - 1. */
  readonly u53: number
  /** From 0 to 2^64 - 1. */
  readonly u64: bigint
}
/** What keys of a map can be: docs/collections.md. */
export type MapKeyKind = keyof MapKeys

/** How keys of one kind are encoded, in the scratch. */
export interface KeyCodec<K> {
  /** @throws ArgumentError; EntryTooLargeError. */
  readonly encode: (key: K, into: Scratch) => void
  readonly decode: (from: Scratch) => K
}

const u64 = 2n ** 64n - 1n

function tooLong(key: unknown): EntryTooLargeError {
  return new EntryTooLargeError(`the key ${shown(key)} has more than ${MAX_KEY_BYTES} bytes`, {
    limit: MAX_KEY_BYTES,
  })
}

/** A number is its own encoding, in one word. -0 is 0. */
function encode32(key: number, into: Scratch): void {
  into.words[0] = key
  into.length = 4
}

export const keyCodecs: { readonly [Kind in MapKeyKind]: KeyCodec<MapKeys[Kind]> } = {
  string: {
    encode: (key, into) => {
      if (typeof key !== 'string') throw refused('key', key, 'not a string')
      if (!encodeText(into, key, MAX_KEY_BYTES)) throw tooLong(key)
    },
    decode: decodeText,
  },
  bytes: {
    encode: (key, into) => {
      if (!encodeBytes('key', key, into, MAX_KEY_BYTES)) throw tooLong(key)
    },
    decode: decodeBytes,
  },
  i32: {
    encode: (key, into) => {
      checkInt32('key', key)
      encode32(key, into)
    },
    decode: ({ words }) => words[0] ?? 0,
  },
  u32: {
    encode: (key, into) => {
      if (typeof key !== 'number' || key >>> 0 !== key)
        throw refused('key', key, 'not a whole number from 0 to 2^32 - 1')
      encode32(key, into)
    },
    decode: ({ words }) => (words[0] ?? 0) >>> 0,
  },
  u53: {
    encode: (key, into) => {
      checkRange('key', key, 0, Number.MAX_SAFE_INTEGER)
      into.words[0] = key
      into.words[1] = key / 2 ** 32
      into.length = 8
    },
    decode: ({ words }) => (words[1] ?? 0) * 2 ** 32 + ((words[0] ?? 0) >>> 0),
  },
  u64: {
    encode: (key, into) => {
      checkBigInt('key', key)
      if (key < 0n || key > u64) throw refused('key', key, 'not from 0 to 2^64 - 1')
      into.words[0] = Number(BigInt.asIntN(32, key))
      into.words[1] = Number(BigInt.asIntN(32, key >> 32n))
      into.length = 8
    },
    decode: ({ words }) => (BigInt((words[1] ?? 0) >>> 0) << 32n) | BigInt((words[0] ?? 0) >>> 0),
  },
}
