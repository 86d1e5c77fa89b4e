/**
 * Keys of 128 bits: bigints, or four words of 32 bits, the most significant one first. A bigint
 * takes memory and time at each step, so look-ups work with the words.
 *
 * A node has the upper 53 bits of its keys as numbers, side by side, and then their other words:
 *
 *     upper 53 bits, 8 bytes each │ second, third and last word of each
 *
 * To look a key up mostly takes the numbers alone.
 */
import * as mem from '#mem'
import { refused } from '../../machine/check.js'
import type { KeyKind } from './keys.js'
import { COUNT_BITS, RangeNode } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadF64, loadU32, storeF64, storeU32 } = mem
const headField = RangeNode.words.head
const countMask = 2 ** COUNT_BITS - 1
/** The first word of a node's keys. */
const keysField = RangeNode.stride / 4

/** Of the upper 53 bits those of the second word. */
const LOWER = 21
const GREATEST = 2n ** 128n - 1n
const halves = new BigUint64Array(2)
const halfWords = new Uint32Array(halves.buffer)
/** Which of `halfWords` is the most significant word, and so on down. */
const [first = 0, second = 0, third = 0, last = 0] = ((): readonly number[] => {
  halves[0] = 1n
  return halfWords[0] === 1 ? [3, 2, 1, 0] : [2, 3, 0, 1]
})()

/** The words of the key that was split last, the most significant one first. */
export const wideWords = new Uint32Array(4)
/** Takes a key apart that {@link checkWide} has accepted, into {@link wideWords}. */
export function splitWide(key: bigint | Uint32Array): void {
  if (typeof key === 'bigint') {
    halves[0] = key
    halves[1] = key >> 64n
    wideWords[0] = halfWords[first] ?? 0
    wideWords[1] = halfWords[second] ?? 0
    wideWords[2] = halfWords[third] ?? 0
    wideWords[3] = halfWords[last] ?? 0
  } else {
    wideWords[0] = key[0] ?? 0
    wideWords[1] = key[1] ?? 0
    wideWords[2] = key[2] ?? 0
    wideWords[3] = key[3] ?? 0
  }
}
/** Its words: itself, or {@link wideWords}. To copy them would take a third of a look-up. */
export function wordsOfWide(key: bigint | Uint32Array): Uint32Array {
  if (typeof key !== 'bigint') return key
  splitWide(key)
  return wideWords
}
/** The upper 53 bits of a key, of its first two words. */
export function upperOf(one: number, two: number): number {
  return one * 2 ** LOWER + (two >>> (32 - LOWER))
}

/** Bits of the second word in the position of a key: positions.ts. */
const PART = 18
const REST = 2 ** (32 - PART)
/** The position of a key, by its first two words. */
export function positionOfWide(one: number, two: number): number {
  return one * 2 ** PART + (two >>> (32 - PART))
}
/** Writes the words of a key of a position. `rest`: the last word, and the bits before it. */
export function writePosition(position: number, rest: number, into: Uint32Array, at: number): void {
  const one = Math.floor(position / 2 ** PART)
  into[at] = one
  into[at + 1] = ((position - one * 2 ** PART) << (32 - PART)) | (rest >>> PART)
  into[at + 2] = rest
  into[at + 3] = rest
}
/** The position of a key of a node; half a one more unless it is the first one of its position. */
export function readPosition({ i32, f64, u32 }: mem.Memory, node: number, slot: number): number {
  const begin = node + keysField
  const word = begin + (load32(i32, node + headField) & countMask) * 2 + slot * 3
  const two = loadU32(u32, word)
  const position = Math.floor(loadF64(f64, begin / 2 + slot) / 2 ** (LOWER - PART))
  const isFirst = two % REST === 0 && loadU32(u32, word + 1) === 0 && loadU32(u32, word + 2) === 0
  return isFirst ? position : position + 0.5
}
function joinWide(one: number, two: number, three: number, four: number): bigint {
  halfWords[first] = one
  halfWords[second] = two
  halfWords[third] = three
  halfWords[last] = four
  return ((halves[1] ?? 0n) << 64n) | (halves[0] ?? 0n)
}

/**
 * Writes the words of the key of a slot, and of the last key before that of the next slot, which
 * there is: four each.
 */
export function wideBounds(
  { f64, u32 }: mem.Memory,
  node: number,
  slot: number,
  count: number,
  into: Uint32Array,
): void {
  const numbers = (node + keysField) / 2 + slot
  const words = node + keysField + count * 2 + slot * 3
  into[0] = Math.floor(loadF64(f64, numbers) / 2 ** LOWER)
  into[1] = loadU32(u32, words)
  into[2] = loadU32(u32, words + 1)
  into[3] = loadU32(u32, words + 2)
  let one = Math.floor(loadF64(f64, numbers + 1) / 2 ** LOWER)
  let two = loadU32(u32, words + 3)
  let three = loadU32(u32, words + 4)
  const four = loadU32(u32, words + 5)
  // Less one, with what is borrowed.
  if (four === 0 && three-- === 0 && two-- === 0) one--
  into[4] = one
  into[5] = two
  into[6] = three
  into[7] = four - 1
}

/** @throws ArgumentError. */
export function checkWide(what: string, key: bigint | Uint32Array): void {
  if (typeof key === 'bigint') {
    if (key < 0n || key > GREATEST) throw refused(what, key, 'not from 0 to 2^128 - 1')
  } else if (!ArrayBuffer.isView(key) || !(key instanceof Uint32Array))
    // A view has no traps.
    throw refused(what, key, 'neither a bigint nor a Uint32Array')
  else if (key.length !== 4) throw refused(what, key, 'not of four words')
}

function readWide({ i32, f64, u32 }: mem.Memory, node: number, slot: number): bigint {
  const count = load32(i32, node + headField) & countMask
  const begin = node + keysField
  const word = begin + count * 2 + slot * 3
  const one = Math.floor(loadF64(f64, begin / 2 + slot) / 2 ** LOWER)
  return joinWide(one, loadU32(u32, word), loadU32(u32, word + 1), loadU32(u32, word + 2))
}

export const u128: KeyKind<bigint> = {
  words: 5,
  capacity: 32,
  least: 0n,
  greatest: GREATEST,
  take: (what, key: bigint | Uint32Array) => {
    checkWide(what, key)
    if (typeof key === 'bigint') return key
    return joinWide(key[0] ?? 0, key[1] ?? 0, key[2] ?? 0, key[3] ?? 0)
  },
  point: (what, key) => {
    checkWide(what, key)
    return key
  },
  compare: (one, other) => (one < other ? -1 : one > other ? 1 : 0),
  after: (key) => (key === GREATEST ? undefined : key + 1n),
  before: (key) => key - 1n,
  distance: (low, high) => high - low,
  extraBytes: () => 0,
  usualExtra: 0,
  write: ({ f64, u32 }, node, keys) => {
    const begin = node + keysField
    for (const [slot, key] of keys.entries()) {
      splitWide(key)
      const [one, two, three, four] = wideWords as unknown as [number, number, number, number]
      storeF64(f64, begin / 2 + slot, upperOf(one, two))
      const word = begin + keys.length * 2 + slot * 3
      storeU32(u32, word, two)
      storeU32(u32, word + 1, three)
      storeU32(u32, word + 2, four)
    }
  },
  read: readWide,
  peek: readWide,
}
