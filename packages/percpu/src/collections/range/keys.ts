/** Keys of ranges: what they may be, their order, and how nodes hold them. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { checkBigInt, checkRange, refused } from '../../machine/check.js'
import { encodeBytes } from '../bytes.js'
import { EntryTooLargeError } from '../errors.js'
import { Scratch } from '../scratch.js'
import { RangeNode } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem

/** Of each kind of key: what it is in JavaScript. */
export interface RangeKeys {
  /** A whole number from 0 to 2^32 - 1. */
  readonly u32: number
  /** A whole number from 0 to 2^53 - 1. */
  readonly u53: number
  /** From 0 to 2^128 - 1. */
  readonly u128: bigint
  /** At most 255 bytes, which are copied; in the order of their bytes. */
  readonly bytes: Uint8Array
}
export type RangeKeyKind = keyof RangeKeys

/** The most bytes of a key. */
export const MAX_RANGE_KEY = 255
/** The first word of a node's keys. */
export const KEYS = RangeNode.stride / 4

/** Keys of one kind. */
export interface KeyKind<K> {
  /** Words that each key has in a node, beside {@link extraBytes}. */
  readonly words: number
  /** The most keys of a node. */
  readonly capacity: number
  readonly least: K
  readonly greatest: K
  /** The key as it is kept. @throws ArgumentError; EntryTooLargeError. */
  readonly take: (what: string, key: K) => K
  /** Below 0, 0, or above it, as `one` lies before, at, or behind `other`. */
  readonly compare: (one: K, other: K) => number
  /** The next key; undefined if there is none. */
  readonly after: (key: K) => K | undefined
  /** The one before, of one that is not the least. */
  readonly before: (key: K) => K
  readonly distance: (low: K, high: K) => number | bigint
  /** Bytes of keys behind the words of a node. */
  readonly extraBytes: (keys: readonly K[]) => number
  /** Writes the keys of a node, by its word index; `behind`: the word behind all others of it. */
  readonly write: (memory: Memory, node: number, keys: readonly K[], behind: number) => void
  readonly read: (memory: Memory, node: number, slot: number) => K
}

const order = <T extends number | bigint>(one: T, other: T): number =>
  one < other ? -1 : one > other ? 1 : 0
const none = (): number => 0

const u32: KeyKind<number> = {
  words: 1,
  capacity: 60,
  least: 0,
  greatest: 2 ** 32 - 1,
  take: (what, key) => {
    if (typeof key !== 'number' || key >>> 0 !== key)
      throw refused(what, key, 'not a whole number from 0 to 2^32 - 1')
    // -0 is 0.
    return key >>> 0
  },
  compare: order,
  after: (key) => (key === 2 ** 32 - 1 ? undefined : key + 1),
  before: (key) => key - 1,
  distance: (low, high) => high - low,
  extraBytes: none,
  write: (memory, node, keys) => {
    for (const [slot, key] of keys.entries()) storeU32(memory.u32, node + KEYS + slot, key)
  },
  read: (memory, node, slot) => loadU32(memory.u32, node + KEYS + slot),
}

const u53: KeyKind<number> = {
  words: 2,
  capacity: 40,
  least: 0,
  greatest: Number.MAX_SAFE_INTEGER,
  take: (what, key) => {
    checkRange(what, key, 0, Number.MAX_SAFE_INTEGER)
    return key + 0
  },
  compare: order,
  after: (key) => (key === Number.MAX_SAFE_INTEGER ? undefined : key + 1),
  before: (key) => key - 1,
  distance: (low, high) => high - low,
  extraBytes: none,
  write: ({ u32: view }, node, keys) => {
    for (const [slot, key] of keys.entries()) {
      storeU32(view, node + KEYS + slot * 2, Math.floor(key / 2 ** 32))
      storeU32(view, node + KEYS + slot * 2 + 1, key >>> 0)
    }
  },
  read: ({ u32: view }, node, slot) =>
    loadU32(view, node + KEYS + slot * 2) * 2 ** 32 + loadU32(view, node + KEYS + slot * 2 + 1),
}

const MAX_U128 = 2n ** 128n - 1n
const wide = new BigUint64Array(2)
const wideWords = new Uint32Array(wide.buffer)
/** Which of `wideWords` is the highest word, and so on down. */
const [top = 0, second = 0, third = 0, last = 0] = ((): readonly number[] => {
  wide[0] = 1n
  return wideWords[0] === 1 ? [3, 2, 1, 0] : [2, 3, 0, 1]
})()

/** Takes a key of 128 bits apart: its words, the highest first, by {@link wideWord}. */
export function splitWide(key: bigint): void {
  wide[0] = key
  wide[1] = key >> 64n
}
export function wideWord(index: 0 | 1 | 2 | 3): number {
  return wideWords[index === 0 ? top : index === 1 ? second : index === 2 ? third : last] ?? 0
}

const u128: KeyKind<bigint> = {
  words: 4,
  capacity: 32,
  least: 0n,
  greatest: MAX_U128,
  take: (what, key) => {
    checkBigInt(what, key)
    if (key < 0n || key > MAX_U128) throw refused(what, key, 'not from 0 to 2^128 - 1')
    return key
  },
  compare: order,
  after: (key) => (key === MAX_U128 ? undefined : key + 1n),
  before: (key) => key - 1n,
  distance: (low, high) => high - low,
  extraBytes: none,
  write: ({ u32: view }, node, keys) => {
    for (const [slot, key] of keys.entries()) {
      splitWide(key)
      for (const word of [0, 1, 2, 3] as const) storeU32(view, node + KEYS + slot * 4 + word, wideWord(word))
    }
  },
  read: ({ u32: view }, node, slot) => {
    const word = node + KEYS + slot * 4
    wideWords[top] = loadU32(view, word)
    wideWords[second] = loadU32(view, word + 1)
    wideWords[third] = loadU32(view, word + 2)
    wideWords[last] = loadU32(view, word + 3)
    return ((wide[1] ?? 0n) << 64n) | (wide[0] ?? 0n)
  },
}

const scratch = new Scratch(512)
/** A word for each key: where its bytes begin in the node, and above these bits their number. */
const START_BITS = 20
const startMask = 2 ** START_BITS - 1

/** Where the bytes of a key of that kind begin, and how many there are. */
export function bytesAt({ u32: view }: Memory, node: number, slot: number): { at: number; length: number } {
  const word = loadU32(view, node + KEYS + slot)
  return { at: node * 4 + (word & startMask), length: word >>> START_BITS }
}

export function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length)
  for (let i = 0; i < length; i++) {
    const difference = (one[i] ?? 0) - (other[i] ?? 0)
    if (difference !== 0) return difference
  }
  return one.length - other.length
}
/** The next key in their order has a NUL more, if it may be longer. */
function afterBytes(key: Uint8Array): Uint8Array | undefined {
  if (key.length < MAX_RANGE_KEY) {
    const longer = new Uint8Array(key.length + 1)
    longer.set(key)
    return longer
  }
  let length = key.length
  while (length > 0 && key[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const next = key.slice(0, length)
  next[length - 1] = (next[length - 1] ?? 0) + 1
  return next
}
function beforeBytes(key: Uint8Array): Uint8Array {
  const { length } = key
  const lastByte = key[length - 1] ?? 0
  if (lastByte === 0) return key.slice(0, length - 1)
  const longest = new Uint8Array(MAX_RANGE_KEY).fill(0xff)
  longest.set(key)
  longest[length - 1] = lastByte - 1
  return longest
}
function asFraction(key: Uint8Array): bigint {
  let sum = 0n
  for (let i = 0; i < MAX_RANGE_KEY; i++) sum = (sum << 8n) | BigInt(key[i] ?? 0)
  return sum
}

const bytes: KeyKind<Uint8Array> = {
  words: 1,
  capacity: 16,
  least: new Uint8Array(0),
  greatest: new Uint8Array(MAX_RANGE_KEY).fill(0xff),
  take: (what, key) => {
    if (!encodeBytes(what, key, scratch, MAX_RANGE_KEY))
      throw new EntryTooLargeError(`${what}: the key has more than ${MAX_RANGE_KEY} bytes`, {
        [what]: key,
        limit: MAX_RANGE_KEY,
      })
    return scratch.bytes.slice(0, scratch.length)
  },
  compare: compareBytes,
  after: afterBytes,
  before: beforeBytes,
  distance: (low, high) => asFraction(high) - asFraction(low),
  extraBytes: (keys) => keys.reduce((sum, key) => sum + key.length, 0),
  write: (memory, node, keys, behind) => {
    let at = behind * 4
    for (const [slot, key] of keys.entries()) {
      storeU32(memory.u32, node + KEYS + slot, (at - node * 4) | (key.length << START_BITS))
      if (key.length > 0) mem.copyIn(memory, at, key)
      at += key.length
    }
  },
  read: (memory, node, slot) => {
    const { at, length } = bytesAt(memory, node, slot)
    return length === 0 ? new Uint8Array(0) : mem.copyOut(memory, at, length)
  },
}

export const keyKinds: { readonly [Kind in RangeKeyKind]: KeyKind<RangeKeys[Kind]> } = {
  u32,
  u53,
  u128,
  bytes,
}
