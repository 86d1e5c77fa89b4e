/**
 * Bitmaps in shared words. Bit i of the map at word `map` is bit i % 32 of word `map + i / 32`.
 * Ranges are [from, to), in bits. Whoever calls these functions has the lock of the words.
 */
import type { I32View } from '#mem'
import * as mem from '#mem'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

/** First clear bit of the range, or `to`. */
export function nextClear(view: I32View, map: number, from: number, to: number): number {
  return next(view, map, from, to, -1)
}
/** First set bit of the range, or `to`. */
export function nextSet(view: I32View, map: number, from: number, to: number): number {
  return next(view, map, from, to, 0)
}
function next(view: I32View, map: number, from: number, to: number, flip: number): number {
  if (from >= to) return to
  let word = from >>> 5
  let bits = (load32(view, map + word) ^ flip) & (-1 << (from & 31))
  const last = (to - 1) >>> 5
  while (bits === 0) {
    if (++word > last) return to
    bits = load32(view, map + word) ^ flip
  }
  const bit = word * 32 + 31 - Math.clz32(bits & -bits)
  return bit < to ? bit : to
}

/** The distance from a bit to the next set one behind it, which must exist. */
export function distanceToNext(view: I32View, map: number, bit: number): number {
  let word = map + (bit >>> 5)
  // Shifted twice: behind the last bit of a word by 32 in all, which one shift would take for 0.
  let bits = load32(view, word) & ((-1 << (bit & 31)) << 1)
  while (bits === 0) bits = load32(view, ++word)
  return (word - map) * 32 + 31 - Math.clz32(bits & -bits) - bit
}

/** Last set bit of the range, or `from - 1`. */
export function lastSet(view: I32View, map: number, from: number, to: number): number {
  if (from >= to) return from - 1
  let word = (to - 1) >>> 5
  let bits = load32(view, map + word) & (-1 >>> (31 - ((to - 1) & 31)))
  const first = from >>> 5
  while (bits === 0) {
    if (--word < first) return from - 1
    bits = load32(view, map + word)
  }
  const bit = word * 32 + 31 - Math.clz32(bits)
  return bit >= from ? bit : from - 1
}

export function isSet(view: I32View, map: number, bit: number): boolean {
  return (load32(view, map + (bit >>> 5)) & (1 << (bit & 31))) !== 0
}
/** Whether the bit is set in both maps. */
export function isSetInBoth(view: I32View, map: number, other: number, bit: number): boolean {
  const word = bit >>> 5
  return (load32(view, map + word) & load32(view, other + word) & (1 << (bit & 31))) !== 0
}
export function setBit(view: I32View, map: number, bit: number): void {
  const at = map + (bit >>> 5)
  store32(view, at, load32(view, at) | (1 << (bit & 31)))
}
/** Writes only if it is set. */
export function clearBit(view: I32View, map: number, bit: number): void {
  const at = map + (bit >>> 5)
  const bits = load32(view, at)
  const rest = bits & ~(1 << (bit & 31))
  if (rest !== bits) store32(view, at, rest)
}
export function setRange(view: I32View, map: number, from: number, to: number): void {
  let bit = from
  while (bit < to) {
    const at = map + (bit >>> 5)
    const stop = Math.min(to, (bit | 31) + 1)
    store32(view, at, load32(view, at) | maskOf(bit, stop))
    bit = stop
  }
}
/** Writes only words that have one of the bits. */
export function clearRange(view: I32View, map: number, from: number, to: number): void {
  let bit = from
  while (bit < to) {
    const at = map + (bit >>> 5)
    const stop = Math.min(to, (bit | 31) + 1)
    const bits = load32(view, at)
    const rest = bits & ~maskOf(bit, stop)
    if (rest !== bits) store32(view, at, rest)
    bit = stop
  }
}
/** Bits [from, to) of one word; not empty. */
function maskOf(from: number, to: number): number {
  return (-1 >>> (32 - (to - from))) << (from & 31)
}
/** The number of set bits in the range. Cost: in proportion to that number. */
export function countSet(view: I32View, map: number, from: number, to: number): number {
  let count = 0
  for (let bit = nextSet(view, map, from, to); bit < to; bit = nextSet(view, map, bit + 1, to)) count++
  return count
}

/**
 * The first run of `length` clear bits in the range that begins at a multiple of `align`, a power
 * of two; -1 if there is none.
 */
export function findRun(
  view: I32View,
  map: number,
  from: number,
  to: number,
  length: number,
  align: number,
): number {
  if (length <= align && align <= 32) return findInCells(view, map, from, to, length, align)
  let start = nextClear(view, map, from, to)
  for (;;) {
    start = (start + align - 1) & -align
    if (start + length > to) return -1
    const stop = nextSet(view, map, start, start + length)
    if (stop === start + length) return start
    start = nextClear(view, map, stop + 1, to)
  }
}

/**
 * Runs no longer than their alignment, of up to 32 bits: each lies inside one aligned cell, and so
 * inside a word. All cells of a word are looked at together.
 */
function findInCells(
  view: I32View,
  map: number,
  from: number,
  to: number,
  length: number,
  align: number,
): number {
  // The first bit of each cell.
  const starts = align === 32 ? 1 : ((-1 >>> 0) / (2 ** align - 1)) | 0
  const first = (from + align - 1) & -align
  let within = -1 << (first & 31)
  for (let word = first >>> 5; word * 32 < to; word++) {
    // After the loop a bit is set where a run of `length` clear bits begins.
    let clear = ~load32(view, map + word)
    for (let have = 1; have < length;) {
      const step = Math.min(have, length - have)
      clear &= clear >>> step
      have += step
    }
    const found = clear & starts & within
    if (found !== 0) {
      const bit = word * 32 + 31 - Math.clz32(found & -found)
      return bit + length <= to ? bit : -1
    }
    within = -1
  }
  return -1
}
