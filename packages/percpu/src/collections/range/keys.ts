/** Keys of ranges: what they may be, their order, and how nodes hold them. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { checkRange, refused } from '../../machine/check.js'
import { encodeBytes } from '../bytes.js'
import { EntryTooLargeError } from '../errors.js'
import { Scratch } from '../scratch.js'
import { RangeNode } from './range-layout.js'
import { u128 } from './wide-keys.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem

/** Of each kind of key: what it is in JavaScript. */
export interface RangeKeys {
  /** A whole number from 0 to 2^32 - 1. */
  readonly u32: number
  /** A whole number from 0 to 2^53 - 1. */
  readonly u53: number
  /** From 0 to 2^128 - 1. Instead, four words may be given: {@link RangePoint}. */
  readonly u128: bigint
  /** At most 255 bytes, which are copied; in the order of their bytes. */
  readonly bytes: Uint8Array
}
/** What keys of a map of ranges can be: docs/collections.md. */
export type RangeKeyKind = keyof RangeKeys
/**
 * A key as it is given: instead of a bigint also a `Uint32Array` of four words of 32 bits, the most
 * significant one first, such as those of an IPv6 address. It is copied.
 */
export type RangePoint<K> = [K] extends [bigint] ? K | Uint32Array : K

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
  /** As {@link take}, to look it up at once and then forget it. */
  readonly point: (what: string, key: K) => K
  /** Below 0, 0, or above it, as `one` lies before, at, or behind `other`. */
  readonly compare: (one: K, other: K) => number
  /** The next key; undefined if there is none. */
  readonly after: (key: K) => K | undefined
  /** The one before, of one that is not the least. */
  readonly before: (key: K) => K
  readonly distance: (low: K, high: K) => number | bigint
  /** Bytes of keys behind the words of a node. */
  readonly extraBytes: (keys: readonly K[]) => number
  /** What a reserve has for each key of that. */
  readonly usualExtra: number
  /** Writes the keys of a node, by its word index; `behind`: the word behind all others of it. */
  readonly write: (memory: Memory, node: number, keys: readonly K[], behind: number) => void
  readonly read: (memory: Memory, node: number, slot: number) => K
}

const order = (one: number, other: number): number => (one < other ? -1 : one > other ? 1 : 0)
const none = (): number => 0

function take32(what: string, key: number): number {
  if (typeof key !== 'number' || key >>> 0 !== key)
    throw refused(what, key, 'not a whole number from 0 to 2^32 - 1')
  // -0 is 0.
  return key >>> 0
}
function take53(what: string, key: number): number {
  checkRange(what, key, 0, Number.MAX_SAFE_INTEGER)
  return key + 0
}

const u32: KeyKind<number> = {
  words: 1,
  capacity: 60,
  least: 0,
  greatest: 2 ** 32 - 1,
  take: take32,
  point: take32,
  compare: order,
  after: (key) => (key === 2 ** 32 - 1 ? undefined : key + 1),
  before: (key) => key - 1,
  distance: (low, high) => high - low,
  extraBytes: none,
  usualExtra: 0,
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
  take: take53,
  point: take53,
  compare: order,
  after: (key) => (key === Number.MAX_SAFE_INTEGER ? undefined : key + 1),
  before: (key) => key - 1,
  distance: (low, high) => high - low,
  extraBytes: none,
  usualExtra: 0,
  write: ({ u32: view }, node, keys) => {
    for (const [slot, key] of keys.entries()) {
      storeU32(view, node + KEYS + slot * 2, Math.floor(key / 2 ** 32))
      storeU32(view, node + KEYS + slot * 2 + 1, key >>> 0)
    }
  },
  read: ({ u32: view }, node, slot) =>
    loadU32(view, node + KEYS + slot * 2) * 2 ** 32 + loadU32(view, node + KEYS + slot * 2 + 1),
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

function takeBytes(what: string, key: Uint8Array): Uint8Array {
  if (!encodeBytes(what, key, scratch, MAX_RANGE_KEY))
    throw new EntryTooLargeError(`${what}: the key has more than ${MAX_RANGE_KEY} bytes`, {
      limit: MAX_RANGE_KEY,
    })
  return scratch.bytes.slice(0, scratch.length)
}

const bytes: KeyKind<Uint8Array> = {
  words: 1,
  capacity: 16,
  least: new Uint8Array(0),
  greatest: new Uint8Array(MAX_RANGE_KEY).fill(0xff),
  take: takeBytes,
  point: takeBytes,
  compare: compareBytes,
  after: afterBytes,
  before: beforeBytes,
  distance: (low, high) => asFraction(high) - asFraction(low),
  extraBytes: (keys) => keys.reduce((sum, key) => sum + key.length, 0),
  usualExtra: 64,
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
