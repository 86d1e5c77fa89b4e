/** Keys of ranges: what they may be, their order, and how nodes hold them. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { checkRange, refused } from '../../machine/check.js'
import { bytesKeys } from './bytes-keys.js'
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
  /** The key as it is kept; not for users. @throws ArgumentError; EntryTooLargeError. */
  readonly take: (what: string, key: K) => K
  /** As {@link take}, to look it up at once and then forget it. */
  readonly point: (what: string, key: K) => K
  /** Below 0, 0, or above it, as `one` lies before, at, or behind `other`. */
  readonly compare: (one: K, other: K) => number
  /** The next key; undefined if there is none. Not for users. */
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
  /**
   * What {@link compare} and {@link write} take in place of the key, as long as the node is there.
   * Nothing else may be done with it.
   */
  readonly peek: (memory: Memory, node: number, slot: number) => K
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

function read32({ u32: view }: Memory, node: number, slot: number): number {
  return loadU32(view, node + KEYS + slot)
}
function read53({ u32: view }: Memory, node: number, slot: number): number {
  const word = node + KEYS + slot * 2
  return loadU32(view, word) * 2 ** 32 + loadU32(view, word + 1)
}

export const u32: KeyKind<number> = {
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
  read: read32,
  peek: read32,
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
  read: read53,
  peek: read53,
}

/** Of each kind; those of bytes are of one memory. */
export const keyKinds: {
  readonly [Kind in RangeKeyKind]: (memory: Memory) => KeyKind<RangeKeys[Kind]>
} = {
  u32: () => u32,
  u53: () => u53,
  u128: () => u128,
  bytes: bytesKeys,
}
