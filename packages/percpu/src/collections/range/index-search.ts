/**
 * Looking a key up in the index of a version: index-words.ts.
 *
 * A look-up makes one atomic load, that of `current`. Of the lines that it touches, two are those
 * of all look-ups: `current`, and the header of the version. The others are one of the version's
 * words, one of each page's, and for a tail one or two lines more. Its branches are those that the
 * answer needs: a wrong guess costs as much as a line that is far away.
 */
import * as mem from '#mem'
import type { I32View, Memory, U16View } from '#mem'
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
import { RangeVersion } from './range-layout.js'
import { lastNotAbove } from './search.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadU16 } = mem

const indexedField = RangeVersion.words.index
const indexAt = INDEX_AT
const indexWords = INDEX_WORDS
const blockBits = BLOCK_BITS
const blockMask = BLOCKS - 1
/** Of keys of 32 bits. */
const PAGE_SHIFT = 20
const BLOCK = 2 ** (PAGE_SHIFT - BLOCK_BITS)
const pageShift = PAGE_SHIFT
const blockShift = PAGE_SHIFT - BLOCK_BITS
const allBlocks = INDEX_WORDS * BLOCKS
const tailMask = BLOCK - 1
const first = FIRST
const walk = WALK
const pages = PAGES
const countBits = COUNT_BITS
const countMask = MAX_COUNT
const startMask = MAX_START

/**
 * What the index of a version, by its reference, says of a key of 32 bits: 0, a value, or
 * {@link WALK}.
 */
export function indexedWord(memory: Memory, reference: number, key: number): number {
  if (reference === 0) return 0
  const { i32 } = memory
  const version = reference << 1
  if (load32(i32, version + indexedField) === 0) return walk
  const index = key >>> pageShift
  if (index >= indexWords) return walk
  const at = (version + indexAt + index) | 0
  const named = load32(i32, at)
  const page = (0 - (named << 1)) | 0
  // In the page, or what there is already: without a branch, which nobody could predict.
  const inPage = (page + first + ((key >>> blockShift) & blockMask)) | 0
  const word = load32(i32, at + ((inPage - at) & (named >> 31)))
  return word >= 0 ? word : tailWord(memory, page, word, key & tailMask)
}
function tailWord({ i32, u16 }: Memory, page: number, word: number, key: number): number {
  const start = (page + ((word >>> countBits) & startMask)) | 0
  const at = stepOf(u16, start << 1, word & countMask, key)
  return load32(i32, at - start + (((word & countMask) + 1) >>> 1))
}
/** Index of the 16 bits of the last of `steps`, from `first` on, that is not behind a key. */
function stepOf(u16: U16View, first: number, steps: number, key: number): number {
  let at = first
  for (let count = steps; count > 1;) {
    const half = count >>> 1
    // As in indexedWord.
    at = (at + Math.imul(half, Number(loadU16(u16, at + half) <= key))) | 0
    count -= half
  }
  return at
}

/**
 * As {@link indexedWord}, of a key of 128 bits, by its first two words. It goes from a page to that
 * of a block, until there is an answer.
 */
export function indexedWide(memory: Memory, reference: number, one: number, two: number): number {
  if (reference === 0) return 0
  const { i32 } = memory
  const version = reference << 1
  if (load32(i32, version + indexedField) === 0) return walk
  const index = one >>> 20
  if (index >= indexWords) return walk
  let word = load32(i32, version + indexAt + index)
  if (word >= 0) return word
  let page = (0 - (word << 1)) | 0
  word = load32(i32, page + first + ((one >>> 14) & blockMask))
  // The lower bits of its position: those in the block.
  let key = ((one << 18) | (two >>> 14)) >>> 0
  for (let shift = 32; word < 0;) {
    if (word < pages) {
      const start = (page + ((word >>> countBits) & startMask)) | 0
      const steps = word & countMask
      return load32(i32, lastNotAbove(memory.u32, start, steps, key) + steps)
    }
    page = (0 - (word << 1)) | 0
    shift -= blockBits
    word = load32(i32, page + first + (key >>> shift))
    key &= (1 << shift) - 1
  }
  return word
}

/**
 * As {@link indexedWord}, and writes where the range begins and ends to `bounds`, for a value that
 * is in the word. {@link WALK} also if that is not known here.
 *
 * Neighbours never have equal values. So blocks side by side with the same word are of one range.
 */
export function indexedRange(memory: Memory, reference: number, key: number, bounds: Uint32Array): number {
  if (reference === 0) return 0
  const { i32, u16 } = memory
  const version = reference << 1
  const block = key >>> blockShift
  if (load32(i32, version + indexedField) === 0) return walk
  if (block >= allBlocks) return walk
  const word = blockWord(i32, version, block)
  let found = word
  let from = -1
  let to = -1
  if (word < 0) {
    const page = 0 - (load32(i32, version + indexAt + (key >>> pageShift)) << 1)
    const begin = key & ~tailMask
    const start = (page + ((word >>> countBits) & startMask)) | 0
    const steps = word & countMask
    const at = stepOf(u16, start << 1, steps, key & tailMask)
    const step = (at - (start << 1)) | 0
    found = load32(i32, start + step + ((steps + 1) >>> 1))
    if (step > 0) from = (begin | loadU16(u16, at)) >>> 0
    if (step < steps - 1) to = (begin + loadU16(u16, at + 1) - 1) >>> 0
  }
  if ((found & 1) === 0) return found
  if (from < 0) from = beginBefore(memory, version, block, found)
  if (to < 0) to = endBehind(memory, version, block, found)
  if (from < 0 || to < 0) return walk
  bounds[0] = from
  bounds[1] = to
  return found
}
/** What an index says of a block: as in a page. */
function blockWord(i32: I32View, version: number, block: number): number {
  const named = load32(i32, version + indexAt + (block >>> blockBits))
  return named >= 0 ? named : load32(i32, 0 - (named << 1) + first + (block & blockMask))
}
/** Where the range begins that has this word, and the beginning of a block; -1: not known. */
function beginBefore({ i32, u16 }: Memory, version: number, block: number, word: number): number {
  for (let before = block - 1; before >= 0; before--) {
    const named = load32(i32, version + indexAt + (before >>> blockBits))
    if (named === word) {
      before &= ~blockMask
      continue
    }
    const page = 0 - (named << 1)
    const other = named >= 0 ? named : load32(i32, page + first + (before & blockMask))
    if (other === word) continue
    if (other === walk) return -1
    const steps = other & countMask
    const start = page + ((other >>> countBits) & startMask)
    if (other >= 0 || load32(i32, start + steps - 1 + ((steps + 1) >>> 1)) !== word)
      return (before + 1) * BLOCK
    return before * BLOCK + loadU16(u16, (start << 1) + steps - 1)
  }
  return 0
}
/** As {@link beginBefore}, where one ends that has the end of a block. */
function endBehind({ i32, u16 }: Memory, version: number, block: number, word: number): number {
  for (let behind = block + 1; behind < allBlocks; behind++) {
    const named = load32(i32, version + indexAt + (behind >>> blockBits))
    if (named === word) {
      behind |= blockMask
      continue
    }
    const page = 0 - (named << 1)
    const other = named >= 0 ? named : load32(i32, page + first + (behind & blockMask))
    if (other === word) continue
    if (other === walk) return -1
    const start = page + ((other >>> countBits) & startMask)
    if (other >= 0 || load32(i32, start + (((other & countMask) + 1) >>> 1)) !== word)
      return behind * BLOCK - 1
    return behind * BLOCK + loadU16(u16, (start << 1) + 1) - 1
  }
  return -1
}
