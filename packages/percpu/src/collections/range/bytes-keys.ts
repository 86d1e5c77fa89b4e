/**
 * Keys of bytes.
 *
 *     a word for each: where its bytes begin in the node, and how many there are │ … │ the bytes
 *
 * A version in the making has many keys of nodes that there are. They stay where they lie, and are
 * named by their place: a number takes an eighth of the memory that a Uint8Array takes, and of the
 * time to make it.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { encodeBytes } from '../bytes.js'
import { EntryTooLargeError } from '../errors.js'
import { Scratch } from '../scratch.js'
import { shortLived, shortLivedCopy } from '../short-lived.js'
import type { KeyKind } from './keys.js'
import { RangeNode } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, loadU8, storeU32, storeU8 } = mem
/** The first word of a node's keys. */
const keysField = RangeNode.stride / 4

/** The most bytes of a key. */
const MAX_RANGE_KEY = 255
/** A key, or its address and above it, as a multiple of this, its length: below 2^53. */
type Place = Uint8Array | number
const PLACE = 2 ** 40

const scratch = new Scratch(512)
/** A word for each key: where its bytes begin in the node, and above these bits their number. */
const START_BITS = 20
const startMask = 2 ** START_BITS - 1

/** Where the bytes of a key of that kind begin, and how many there are. */
export function bytesAt({ u32: view }: Memory, node: number, slot: number): { at: number; length: number } {
  const word = loadU32(view, node + keysField + slot)
  return { at: node * 4 + (word & startMask), length: word >>> START_BITS }
}

/** The next key in their order has a NUL more, if it may be longer. */
function afterBytes(key: Uint8Array): Uint8Array | undefined {
  if (key.length < MAX_RANGE_KEY) {
    const longer = shortLived(key.length + 1)
    longer.set(key)
    longer[key.length] = 0
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
  return shortLivedCopy(scratch.bytes, scratch.length)
}

function lengthOf(key: Place): number {
  return typeof key === 'number' ? Math.floor(key / PLACE) : key.length
}

function addressOf(key: Place, length: number): number {
  return typeof key === 'number' ? key - length * PLACE : 0
}

export function bytesKeys(memory: Memory): KeyKind<Uint8Array> {
  const { bytes, u32 } = memory
  const compare = (one: Place, other: Place): number => {
    const [length, otherLength] = [lengthOf(one), lengthOf(other)]
    const at = addressOf(one, length)
    const otherAt = addressOf(other, otherLength)
    const shorter = Math.min(length, otherLength)
    for (let i = 0; i < shorter; i++) {
      const byte = typeof one === 'number' ? loadU8(bytes, at + i) : (one[i] ?? 0)
      const difference = byte - (typeof other === 'number' ? loadU8(bytes, otherAt + i) : (other[i] ?? 0))
      if (difference !== 0) return difference
    }
    return length - otherLength
  }
  const write = (_memory: Memory, node: number, keys: readonly Place[], behind: number): void => {
    let at = behind * 4
    for (const [slot, key] of keys.entries()) {
      const length = lengthOf(key)
      storeU32(u32, node + keysField + slot, (at - node * 4) | (length << START_BITS))
      if (typeof key !== 'number') {
        if (length > 0) mem.copyIn(memory, at, key)
      } else
        for (let i = 0, from = addressOf(key, length); i < length; i++)
          storeU8(bytes, at + i, loadU8(bytes, from + i))
      at += length
    }
  }
  const peek = (_memory: Memory, node: number, slot: number): Place => {
    const { at, length } = bytesAt(memory, node, slot)
    return length * PLACE + at
  }
  return {
    words: 1,
    capacity: 16,
    least: new Uint8Array(0),
    greatest: new Uint8Array(MAX_RANGE_KEY).fill(0xff),
    take: takeBytes,
    point: takeBytes,
    compare,
    after: afterBytes,
    before: beforeBytes,
    distance: (low, high) => asFraction(high) - asFraction(low),
    extraBytes: (keys: readonly Place[]) => keys.reduce<number>((sum, key) => sum + lengthOf(key), 0),
    usualExtra: 64,
    write,
    read: (_memory, node, slot) => {
      const { at, length } = bytesAt(memory, node, slot)
      return length === 0 ? new Uint8Array(0) : mem.copyOut(memory, at, length)
    },
    // To be compared and written only.
    peek: peek as KeyKind<Uint8Array>['peek'],
  }
}
