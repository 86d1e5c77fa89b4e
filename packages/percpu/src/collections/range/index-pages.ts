/**
 * The index of a version with keys of 32 bits, by their upper 18 bits: for each block of 2^14 keys
 * a word that gives the answer, or says where it is close by. (After DXR: Zec, Rizzo, Mikuc, "DXR:
 * towards a billion routing lookups per second in software", CCR 2012.)
 *
 *     version │ a word for each 2^20 keys ──▶ page │ link │ a word for each 2^14 keys │ tails
 *
 *     0             no key has a value
 *     odd, above 0  all keys have this value, in the upper bits
 *     WALK          it is looked up from the topmost node on
 *     below 0       of a version: minus the reference of a page
 *                   of a page: a tail of it, where it begins and how many steps it has
 *
 * A *tail* has, for each step, where it begins in the block, in 16 bits, and then a word as above.
 * The last 2^24 keys are not in the index, so that a version has four pages of memory.
 *
 * A look-up makes one atomic load, that of `current`. Of the lines that it touches, two are those
 * of all look-ups: `current`, and the header of the version. The others are one of the version's
 * words, one of the page's, and for a tail one or two lines more. Its branches are those that the
 * answer needs: a wrong guess costs as much as a line that is far away.
 *
 * Pages are immutable, as nodes are: a change makes those anew in which there are keys of its own,
 * and copies the blocks that have none.
 */
import * as mem from '#mem'
import type { I32View, Memory, U16View } from '#mem'
import type { Cursor } from './cursor.js'
import { RangeVersion } from './range-layout.js'
import type { Stored } from './values.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadU16, store32, storeU16 } = mem

const PAGE_SHIFT = 20
const BLOCK_SHIFT = 14
const PAGE = 2 ** PAGE_SHIFT
const BLOCK = 2 ** BLOCK_SHIFT
/** Blocks of a page, and the first word of theirs. */
const BLOCKS = PAGE / BLOCK
const FIRST = 1
export const WALK = 2
/** Of the word of a tail: bits of its number of steps, and of where it begins. */
const COUNT_BITS = 15
const MAX_COUNT = 2 ** COUNT_BITS - 1
const MAX_START = 2 ** 16 - 1
const SIGN = -(2 ** 31)

/** The first word of the index in a version, and how many there are. */
export const INDEX_AT = RangeVersion.stride / 4
export const INDEX_WORDS = 4096 - INDEX_AT
/** The sign, and the lowest bit: of a value it is only the latter. */
export const VALUE_BITS = SIGN | 1

const indexedField = RangeVersion.words.index
const indexAt = INDEX_AT
const indexWords = INDEX_WORDS
const pageShift = PAGE_SHIFT
const blockShift = BLOCK_SHIFT
const blockMask = BLOCKS - 1
const pageBlockShift = PAGE_SHIFT - BLOCK_SHIFT
const allBlocks = INDEX_WORDS * BLOCKS
const tailMask = BLOCK - 1
const first = FIRST
const walk = WALK
const countBits = COUNT_BITS
const countMask = MAX_COUNT
const startMask = MAX_START

/** What the index of a version, by its reference, says of a key: 0, a value, or {@link WALK}. */
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
  const named = load32(i32, version + indexAt + (block >>> pageBlockShift))
  return named >= 0 ? named : load32(i32, 0 - (named << 1) + first + (block & blockMask))
}
/** Where the range begins that has this word, and the beginning of a block; -1: not known. */
function beginBefore({ i32, u16 }: Memory, version: number, block: number, word: number): number {
  for (let before = block - 1; before >= 0; before--) {
    const named = load32(i32, version + indexAt + (before >>> pageBlockShift))
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
    const named = load32(i32, version + indexAt + (behind >>> pageBlockShift))
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

/** Ranges from which on an index is made, and below which it is given up. */
const MANY = 2048
const FEW = 512

/** Keys, both ends included, for which the version may differ from the one before. */
export type Region = readonly [low: number, high: number]

/** Of what an index is made. */
export interface Indexing {
  readonly memory: Memory
  /** The words of that before. */
  readonly words: Int32Array | undefined
  readonly size: number
  readonly regions: readonly Region[]
  readonly cursor: Cursor<number, unknown>
  /** Lets the cursor look at a key. */
  readonly seek: (key: number) => void
  /** Takes memory, by reference. */
  readonly take: (bytes: number) => number
  /** Is told of pages that are not part of the new version. */
  readonly drop: (page: number) => void
}

/** The words of the new index; undefined for none. @throws what taking memory throws. */
export function makeIndex(indexing: Indexing): Int32Array | undefined {
  const { words, size, regions, drop } = indexing
  if (size < (words === undefined ? MANY : FEW)) {
    for (const word of words ?? []) if (word < 0) drop(-word)
    return undefined
  }
  const made = words === undefined ? new Int32Array(INDEX_WORDS) : words.slice()
  const changed = new Map<number, Set<number> | undefined>()
  const all: readonly Region[] = words === undefined ? [[0, 2 ** 32 - 1]] : regions
  for (const region of all) addChanged(changed, region)
  // The last word of a whole page, and the keys for which it holds.
  let same = { word: 0, from: 0, to: 0 }
  for (const [index, blocks] of changed) {
    const before = words?.[index] ?? 0
    if (before < 0) drop(-before)
    const begin = index * PAGE
    if (begin < same.from || begin + PAGE > same.to) {
      const word = makePage(indexing, begin, blocks ? before : 0, blocks ?? new Set())
      same = { word, from: begin, to: word < 0 ? begin + PAGE : nextOf(indexing.cursor) }
    }
    made[index] = same.word
  }
  return made
}
/** The blocks in which a region lies, by the page; undefined for all of a page. */
function addChanged(changed: Map<number, Set<number> | undefined>, [low, high]: Region): void {
  const last = Math.min(high >>> PAGE_SHIFT, INDEX_WORDS - 1)
  for (let index = low >>> PAGE_SHIFT; index <= last; index++) {
    const begin = index * PAGE
    const isWhole = low <= begin && high >= begin + PAGE - 1
    const blocks = isWhole ? undefined : changed.has(index) ? changed.get(index) : new Set<number>()
    changed.set(index, blocks)
    if (blocks === undefined) continue
    const end = Math.min(high, begin + PAGE - 1) >>> BLOCK_SHIFT
    for (let block = Math.max(low, begin) >>> BLOCK_SHIFT; block <= end; block++) blocks.add(block * BLOCK)
  }
}

/**
 * The word of a version for the page that begins at a key. `before`: that of the version before, of
 * which the blocks that have not changed are copied.
 */
function makePage(
  { memory, cursor, seek, take }: Indexing,
  begin: number,
  before: number,
  changed: ReadonlySet<number>,
): number {
  seek(begin)
  if (nextOf(cursor) >= begin + PAGE) return wordOf(cursor)
  const blocks: number[] = []
  const tails: Tail[] = []
  let length = FIRST + BLOCKS
  let isBehind = false
  for (let block = begin; block < begin + PAGE; block += BLOCK) {
    // Mutant: collections/range-block-kept.
    if (before < 0 && !changed.has(block)) {
      const word = load32(memory.i32, -before * 2 + FIRST + ((block - begin) >>> BLOCK_SHIFT))
      // One that had no place may have some now.
      if (word !== WALK) {
        isBehind = true
        const tail = word < 0 ? tailBefore(-before * 2, word, length) : undefined
        // It may have a place no more. Mutant: collections/range-tail-behind.
        const hasPlace = tail === undefined || length <= MAX_START
        if (!hasPlace) blocks.push(WALK)
        else if (tail === undefined) blocks.push(word)
        else {
          blocks.push(tailWordOf(tail))
          tails.push(tail)
          length += lengthOf(tail)
        }
        continue
      }
    }
    // The cursor has not gone through what was copied.
    if (isBehind) seek(block)
    isBehind = false
    if (nextOf(cursor) >= block + BLOCK) {
      blocks.push(wordOf(cursor))
      if (nextOf(cursor) === block + BLOCK) advance(cursor)
      continue
    }
    const offsets: number[] = []
    const words: number[] = []
    for (let from = block; ; from = cursor.key()) {
      offsets.push(from - block)
      words.push(wordOf(cursor))
      const next = nextOf(cursor)
      if (next <= block + BLOCK) advance(cursor)
      if (next >= block + BLOCK) break
    }
    if (offsets.length > MAX_COUNT || length > MAX_START) {
      blocks.push(WALK)
      continue
    }
    const tail: Tail = { start: length, steps: offsets.length, parts: { offsets, words } }
    blocks.push(tailWordOf(tail))
    tails.push(tail)
    length += lengthOf(tail)
  }
  const page = take(length * 4)
  writePage(memory, page * 2, blocks, tails)
  return -page
}

interface Tail {
  /** Words of the page before it. */
  readonly start: number
  readonly steps: number
  /** Its steps, and a word for each; or the word index at which it lies in the page before. */
  readonly parts: { readonly offsets: readonly number[]; readonly words: readonly number[] } | number
}
function lengthOf({ steps }: Tail): number {
  return ((steps + 1) >>> 1) + steps
}
/** The word of its block. */
function tailWordOf({ start, steps }: Tail): number {
  return SIGN | (start << COUNT_BITS) | steps
}
/** One of the page before, whose word index is given, by the word of its block. */
function tailBefore(page: number, word: number, start: number): Tail {
  return { start, steps: word & MAX_COUNT, parts: page + ((word >>> COUNT_BITS) & MAX_START) }
}
function writePage(
  { i32, u16 }: Memory,
  page: number,
  blocks: readonly number[],
  tails: readonly Tail[],
): void {
  for (let block = 0; block < blocks.length; block++) store32(i32, page + FIRST + block, blocks[block] ?? 0)
  for (const tail of tails) {
    const { steps, parts } = tail
    const at = page + tail.start
    if (typeof parts === 'number') {
      for (let word = lengthOf(tail) - 1; word >= 0; word--)
        store32(i32, at + word, load32(i32, parts + word))
      continue
    }
    const values = at + ((steps + 1) >>> 1)
    for (let step = 0; step < steps; step++) {
      storeU16(u16, at * 2 + step, parts.offsets[step] ?? 0)
      store32(i32, values + step, parts.words[step] ?? 0)
    }
  }
}

function nextOf(cursor: Cursor<number, unknown>): number {
  return cursor.next() ?? 2 ** 32
}
function advance(cursor: Cursor<number, unknown>): void {
  cursor.slot++
  if (cursor.slot >= cursor.count) cursor.toLeaf(1)
}

/** Of the step at which a cursor is. */
function wordOf(cursor: Cursor<number, unknown>): number {
  return wordOfValue(cursor.stored())
}
/** A whole number that fits, or the reference of a block, is in the word itself. */
export function wordOfValue(value: Stored): number {
  if (value === undefined) return 0
  const number = typeof value === 'object' ? value.block : value
  const fits =
    typeof number === 'number' &&
    number >= 0 &&
    number < 2 ** 30 &&
    Number.isInteger(number) &&
    !Object.is(number, -0)
  return fits ? number * 2 + 1 : WALK
}
