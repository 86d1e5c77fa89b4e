/**
 * Looking a key up in the index of a version: index-words.ts.
 *
 * A look-up makes one atomic load, that of `current`. Of the lines that it touches, two are those
 * of all look-ups: `current`, and the header of the version. The others are one of the version's
 * words, one of each page's, and for a tail one or two lines more. Its branches are those that the
 * answer needs: a wrong guess costs as much as a line that is far away.
 */
import * as mem from '#mem'
import type { Memory, U16View } from '#mem'
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
const pageShift = PAGE_SHIFT
const blockShift = PAGE_SHIFT - BLOCK_BITS
const tailMask = 2 ** (PAGE_SHIFT - BLOCK_BITS) - 1
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
export function stepOf(u16: U16View, first: number, steps: number, key: number): number {
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
