/** Entries: how they are written before anybody finds them, and read. */
import * as mem from '#mem'
import type { I32View, Memory } from '#mem'
import { KEY_BITS } from '../limits.js'
import { MapEntry } from './map-layout.js'
import type { Scratch } from '../scratch.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { lengths: lengthsField, stamp: stampField } = MapEntry.words
const keyField = MapEntry.stride / 4
const keyMask = 2 ** KEY_BITS - 1
/** Words from which on a range is copied as a whole. */
const MANY = 64

/** Words of an entry, without what a cache has behind it. `pad`: as in MapTable. */
export function entryWords(keyBytes: number, valueBytes: number, pad: number): number {
  return behindKey(keyBytes, pad) + ((valueBytes + 3) >>> 2)
}
/** Words before the value. Entries are aligned to 8 bytes. */
function behindKey(keyBytes: number, pad: number): number {
  return (keyField + ((keyBytes + 3) >>> 2) + pad) & ~pad
}

/** Fills an entry, by its word index, which only the calling thread knows. */
export function fillEntry(
  memory: Memory,
  entry: number,
  key: Scratch,
  hash: number,
  stamp: number,
  value: Scratch,
  pad: number,
): void {
  const { i32 } = memory
  store32(i32, entry, hash)
  store32(i32, entry + lengthsField, key.length | (value.length << KEY_BITS))
  store32(i32, entry + stampField, stamp)
  copyWordsIn(memory, entry + keyField, key)
  copyWordsIn(memory, entry + behindKey(key.length, pad), value)
}

/**
 * Copies what is encoded, in whole words: keys are compared by them, and what lay there before is
 * no part of one. Mutant: collections/key-end-left.
 */
function copyWordsIn(memory: Memory, at: number, { words, bytes, length }: Scratch): void {
  const count = (length + 3) >>> 2
  if (count > MANY) mem.copyIn(memory, at * 4, bytes.subarray(0, count * 4))
  else for (let i = 0; i < count; i++) store32(memory.i32, at + i, words[i] ?? 0)
}

function copyOut(memory: Memory, at: number, bytes: number, into: Scratch): void {
  into.reserve(bytes)
  const count = (bytes + 3) >>> 2
  if (count > MANY) into.bytes.set(mem.copyOut(memory, at * 4, bytes))
  else {
    const { i32 } = memory
    const { words } = into
    for (let i = 0; i < count; i++) words[i] = load32(i32, at + i)
  }
  into.length = bytes
}

/** Copies the key of an entry, by its word index. */
export function readKey(memory: Memory, entry: number, into: Scratch): void {
  copyOut(memory, entry + keyField, keyBytesOf(memory.i32, entry), into)
}
/** Copies the value of an entry, by its word index. */
export function readValue(memory: Memory, entry: number, into: Scratch, pad: number): void {
  const { i32 } = memory
  copyOut(memory, valueOf(i32, entry, pad), valueBytesOf(i32, entry), into)
}
export function keyBytesOf(i32: I32View, entry: number): number {
  return load32(i32, entry + lengthsField) & keyMask
}
export function valueBytesOf(i32: I32View, entry: number): number {
  return load32(i32, entry + lengthsField) >>> KEY_BITS
}
/** Word index of the value of an entry. */
export function valueOf(i32: I32View, entry: number, pad: number): number {
  return entry + behindKey(keyBytesOf(i32, entry), pad)
}
/** Word index of what lies behind the value of an entry. */
export function behindValue(i32: I32View, entry: number, pad: number): number {
  return valueOf(i32, entry, pad) + ((valueBytesOf(i32, entry) + 3) >>> 2)
}
export function stampOf(i32: I32View, entry: number): number {
  return load32(i32, entry + stampField)
}
/** Whether the value of an entry is what is encoded. */
export function isValue(
  i32: I32View,
  entry: number,
  { words, bytes, length }: Scratch,
  pad: number,
): boolean {
  if (valueBytesOf(i32, entry) !== length) return false
  const at = valueOf(i32, entry, pad)
  const whole = length >>> 2
  for (let i = 0; i < whole; i++) if (load32(i32, at + i) !== words[i]) return false
  if ((length & 3) === 0) return true
  const last = load32(i32, at + whole)
  for (let i = whole * 4; i < length; i++) if (((last >>> ((i & 3) * 8)) & 0xff) !== bytes[i]) return false
  return true
}
