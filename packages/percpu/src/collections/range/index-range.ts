/**
 * Where the range begins and ends that has a key, by the index of a version: index-words.ts.
 *
 * Neighbours never have equal values. So steps side by side with the same word are of one range,
 * whatever blocks they are in. Where a step begins or ends beside one that is looked up from the
 * topmost node on, it is not known here: that may have a part of the range.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import {
  BLOCK_BITS,
  BLOCKS,
  COUNT_BITS,
  FIRST,
  INDEX_AT,
  INDEX_WORDS,
  MAX_COUNT,
  MAX_START,
  PAGES,
  WALK,
} from './index-words.js'
import { stepOf } from './index-search.js'
import { RangeVersion } from './range-layout.js'
import { lastNotAbove } from './search.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadU16, loadU32 } = mem
const indexedField = RangeVersion.words.index
const indexAt = INDEX_AT
const blockBits = BLOCK_BITS
const blockMask = BLOCKS - 1
const allBlocks = INDEX_WORDS * BLOCKS
const first = FIRST
const walk = WALK
const pages = PAGES
const countBits = COUNT_BITS
const countMask = MAX_COUNT
const startMask = MAX_START
/** Of a key of 32 bits: the bits that choose a step of a tail. */
export const NARROW_BITS = 14
const narrowMask = 2 ** NARROW_BITS - 1

/** Positions: where what was found begins, and behind its end. */
export const ends = new Float64Array(2)
/** Whether it may go on in the block before, and in the one behind. */
let isOpenBefore = false
let isOpenBehind = false

/**
 * For a key of 32 bits whose range begins and ends in one tail, as most do: its value, and the ends
 * go to `bounds`. 0 for others: see {@link indexedRange}.
 */
export function rangeInTail(memory: Memory, reference: number, key: number, bounds: Uint32Array): number {
  if (reference === 0) return 0
  const { i32, u16 } = memory
  const version = reference << 1
  const block = key >>> NARROW_BITS
  if (load32(i32, version + indexedField) === 0 || block >= allBlocks) return 0
  const named = load32(i32, version + indexAt + (block >>> blockBits))
  if (named >= 0) return 0
  const page = (0 - (named << 1)) | 0
  const word = load32(i32, page + first + (block & blockMask))
  if (word >= 0) return 0
  const start = (page + ((word >>> countBits) & startMask)) | 0
  const steps = word & countMask
  const at = stepOf(u16, start << 1, steps, key & narrowMask)
  const step = at - (start << 1)
  const found = load32(i32, start + step + ((steps + 1) >>> 1))
  if (step === 0 || step === steps - 1 || (found & 1) === 0) return 0
  const begin = key & ~narrowMask
  bounds[0] = begin | loadU16(u16, at)
  bounds[1] = begin + loadU16(u16, at + 1) - 1
  return found
}

/** Positions of a block of a page that a version names. Not a power: that is a call. */
const sizeOf = (bits: number): number => (bits === 32 ? 2 ** 32 : 2 ** 14)

/**
 * The word of a step, or of a block or a word of the version that has one. It writes {@link ends}.
 * `high`: the upper 18 bits of a position; `low`: the others, which are 14, or 32 of wide keys.
 * `edge`: 1 for the first position of a block, -1 for the last one, else 0.
 */
function probe(
  { i32, u16, u32 }: Memory,
  version: number,
  high: number,
  low: number,
  bits: number,
  edge: -1 | 0 | 1,
): number {
  isOpenBefore = true
  isOpenBehind = true
  let size = sizeOf(bits)
  let word = load32(i32, version + indexAt + (high >>> blockBits))
  if (word >= 0) {
    ends[0] = (high & ~blockMask) * size
    ends[1] = ((high | blockMask) + 1) * size
    return word
  }
  let page = (0 - (word << 1)) | 0
  word = load32(i32, page + first + (high & blockMask))
  let begin = high * size
  let key = low
  for (let shift = bits; word < 0 && word >= pages;) {
    page = (0 - (word << 1)) | 0
    shift -= blockBits
    size = 1 << shift
    const block = key >>> shift
    begin += block * size
    word = load32(i32, page + first + block)
    key &= size - 1
  }
  ends[0] = begin
  ends[1] = begin + size
  if (word >= 0) return word
  const at = (page + ((word >>> countBits) & startMask)) | 0
  const steps = word & countMask
  const isWide = bits === 32
  let step = edge < 0 ? steps - 1 : 0
  if (edge === 0)
    step = isWide ? lastNotAbove(u32, at, steps, key) - at : stepOf(u16, at << 1, steps, key) - (at << 1)
  const here = at + step + (isWide ? steps : (steps + 1) >>> 1)
  isOpenBefore = step === 0
  isOpenBehind = step === steps - 1
  // Mutant: collections/range-half-end.
  if (!isOpenBefore) {
    if (load32(i32, here - 1) === walk) return walk
    ends[0] = begin + (isWide ? loadU32(u32, at + step) : loadU16(u16, (at << 1) + step))
  }
  if (!isOpenBehind) {
    if (load32(i32, here + 1) === walk) return walk
    ends[1] = begin + (isWide ? loadU32(u32, at + step + 1) : loadU16(u16, (at << 1) + step + 1))
  }
  return load32(i32, here)
}

/**
 * What the index of a version, by its reference, says of a position: 0, a value, or {@link WALK}.
 * With a value {@link ends} are those of the range. `high`, `low`, `bits`: as of {@link probe}.
 */
export function indexedRange(
  memory: Memory,
  reference: number,
  high: number,
  low: number,
  bits: number,
): number {
  if (reference === 0) return 0
  const version = reference << 1
  if (load32(memory.i32, version + indexedField) === 0 || high >= allBlocks) return walk
  const word = probe(memory, version, high, low, bits, 0)
  if ((word & 1) === 0) return word
  const size = sizeOf(bits)
  let from = ends[0] ?? 0
  let to = ends[1] ?? 0
  let isOpen = isOpenBehind
  while (isOpenBefore && from > 0) {
    const before = Math.floor((from - 1) / size)
    const other = probe(memory, version, before, (from - 1 - before * size) >>> 0, bits, -1)
    if (other === walk) return walk
    if (other !== word) break
    from = ends[0] ?? 0
  }
  while (isOpen) {
    const behind = Math.floor(to / size)
    if (behind >= allBlocks) return walk
    const other = probe(memory, version, behind, (to - behind * size) >>> 0, bits, 1)
    if (other === walk) return walk
    if (other !== word) break
    to = ends[1] ?? 0
    isOpen = isOpenBehind
  }
  ends[0] = from
  ends[1] = to
  return word
}
