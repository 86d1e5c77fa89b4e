/**
 * Making the index of a version: index-words.ts. Of that before, the pages and blocks are kept in
 * which nothing has changed.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Cursor } from './cursor.js'
import {
  BLOCK_BITS,
  BLOCKS,
  COUNT_BITS,
  FIRST,
  INDEX_WORDS,
  MAX_COUNT,
  MAX_START,
  PAGES,
  SIGN,
  WALK,
} from './index-words.js'
import type { Stored } from './values.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32, storeU16 } = mem

/** Ranges from which on an index is made, and below which it is given up. */
const MANY = 2048
const FEW = 512
/** Blocks of so many bits have no pages of their own. */
const LAST_SHIFT = 14
/** The most steps of a tail of other blocks: more take longer than a page. */
const SHORT = 32

/** Positions, both ends included, for which the version may differ from the one before. */
export type Region = readonly [low: number, high: number]

/** Of what an index is made. */
export interface Indexing {
  readonly memory: Memory
  /** How many bits of a position are below those that choose a word of the version. */
  readonly shift: number
  /** Whether what tails say of where steps begin has 32 bits, and not 16. */
  readonly isWide: boolean
  /** The words of that before. */
  readonly words: Int32Array | undefined
  readonly size: number
  readonly regions: readonly Region[]
  /** Its keys are positions; one that is not the first of its position is half a one more. */
  readonly cursor: Cursor<number, unknown>
  /** Lets the cursor look at the first key of a position. */
  readonly seek: (position: number) => void
  /** Takes memory, by reference. */
  readonly take: (bytes: number) => number
  /** Is told of pages that are not part of the new version. */
  readonly drop: (page: number) => void
}

/** An index in the making. */
interface Making extends Indexing {
  /** The position whose first key the cursor looks at, or -1. */
  place: number
}
/** Lets the cursor look at the first key of a position, mostly of that which follows. */
function goTo(making: Making, position: number): void {
  if (making.place !== position) making.seek(position)
  making.place = position
}

/** The words of the new index; undefined for none. @throws what taking memory throws. */
export function makeIndex(given: Indexing): Int32Array | undefined {
  const { memory, words, size, shift, cursor, drop } = given
  if (size < (words === undefined ? MANY : FEW)) {
    for (const word of words ?? []) eachPage(memory, word, drop)
    return undefined
  }
  const made = words === undefined ? new Int32Array(INDEX_WORDS) : words.slice()
  const width = 2 ** shift
  const regions = words === undefined ? [[0, INDEX_WORDS * width] as const] : joined(given.regions)
  const making: Making = { ...given, regions, place: -1 }
  // The last word that is that of many positions, and where these end.
  let same = { word: 0, end: 0 }
  let index = 0
  for (const [low, high] of regions) {
    const last = Math.min(Math.floor(high / width), INDEX_WORDS - 1)
    for (index = Math.max(index, Math.floor(low / width)); index <= last; index++) {
      const begin = index * width
      const before = words?.[index] ?? 0
      if (begin + width > same.end) {
        goTo(making, begin)
        const end = nextOf(cursor)
        same = { word: wordOf(cursor), end }
      }
      if (begin + width > same.end) made[index] = makePage(making, begin, shift - BLOCK_BITS, before)
      else {
        eachPage(memory, before, drop)
        made[index] = same.word
      }
    }
  }
  return made
}

/** Regions in their order, of which no two touch. */
function joined(regions: readonly Region[]): readonly Region[] {
  const list: [number, number][] = []
  for (const [low, high] of [...regions].sort(([one], [other]) => one - other)) {
    const last = list.at(-1)
    if (last === undefined || last[1] < low - 1) list.push([low, high])
    else last[1] = Math.max(last[1], high)
  }
  return list
}
/** Whether any of these positions is in a region. */
function isIn(regions: readonly Region[], low: number, high: number): boolean {
  let first = 0
  for (let end = regions.length; first < end;) {
    const middle = (first + end) >>> 1
    if ((regions[middle]?.[1] ?? 0) < low) first = middle + 1
    else end = middle
  }
  return (regions[first]?.[0] ?? Infinity) <= high
}

/** Calls `visit` with each page that a word names: that, and those of its blocks. */
export function eachPage(memory: Memory, word: number, visit: (page: number) => void): void {
  if (!isPage(word)) return
  for (let block = 0; block < BLOCKS; block++)
    eachPage(memory, load32(memory.i32, word * -2 + FIRST + block), visit)
  visit(-word)
}
function isPage(word: number): boolean {
  return word < 0 && word >= PAGES
}

/**
 * The word of a page of blocks of `2 ** shift` positions, of which the first begins at `begin`.
 * `before`: that of the version before, whose blocks that have not changed are copied; or no page.
 */
function makePage(making: Making, begin: number, shift: number, before: number): number {
  const { memory, regions, take, drop } = making
  const old = isPage(before) ? before * -2 + FIRST : 0
  const blocks: number[] = []
  const tails: Tail[] = []
  let length = FIRST + BLOCKS
  const addTail = (steps: number, parts: Tail['parts']): void => {
    // Mutant: collections/range-tail-behind.
    if (length > MAX_START) {
      blocks.push(WALK)
      return
    }
    const tail = { start: length, steps, parts }
    blocks.push(tailWordOf(tail))
    tails.push(tail)
    length += lengthOf(making, steps)
  }
  for (let block = 0; block < BLOCKS; block++) {
    const from = begin + block * 2 ** shift
    const end = from + 2 ** shift
    const word = old === 0 ? WALK : load32(memory.i32, old + block)
    // One that had no place may have some now. Mutant: collections/range-block-kept.
    if (word !== WALK && !isIn(regions, from, end - 1)) {
      if (word >= PAGES) blocks.push(word)
      else addTail(word & MAX_COUNT, old - FIRST + ((word >>> COUNT_BITS) & MAX_START))
      continue
    }
    const most = shift > LAST_SHIFT ? SHORT : MAX_COUNT
    const steps = stepsOf(making, from, end, most)
    if (steps === undefined && shift > LAST_SHIFT) {
      blocks.push(makePage(making, from, shift - BLOCK_BITS, word))
      continue
    }
    // Mutant: collections/range-page-left.
    eachPage(memory, word, drop)
    if (steps?.words.length === 1) blocks.push(steps.words[0] ?? 0)
    else if (steps === undefined) blocks.push(WALK)
    else addTail(steps.words.length, steps)
  }
  if (old !== 0) drop(-before)
  const page = take(length * 4)
  for (let block = 0; block < BLOCKS; block++)
    store32(memory.i32, page * 2 + FIRST + block, blocks[block] ?? 0)
  for (const tail of tails) writeTail(making, page * 2 + tail.start, tail)
  return -page
}

/** Where steps begin in a block, and the word of each. */
interface Steps {
  readonly offsets: readonly number[]
  readonly words: readonly number[]
}
/** Those of positions; undefined if there are more than `most`. */
function stepsOf(making: Making, begin: number, end: number, most: number): Steps | undefined {
  const { cursor } = making
  goTo(making, begin)
  const offsets = [0]
  const words = [wordOf(cursor)]
  const add = (position: number, word: number): void => {
    if (offsets.at(-1) === position - begin) {
      offsets.pop()
      words.pop()
    }
    if (word === WALK && words.at(-1) === WALK) return
    offsets.push(position - begin)
    words.push(word)
  }
  making.place = -1
  let next = nextOf(cursor)
  for (; next < end; next = nextOf(cursor)) {
    const position = Math.floor(next)
    if (position === next) advance(cursor)
    else {
      // Its keys have more than one value. Mutant: collections/range-half-kept.
      add(position, WALK)
      if (position + 1 === end) return { offsets, words }
      making.seek(position + 1)
    }
    add(Math.ceil(next), wordOf(cursor))
    if (words.length > most) return undefined
  }
  if (next === end) advance(cursor)
  making.place = end
  return { offsets, words }
}

interface Tail {
  /** Words of the page before it. */
  readonly start: number
  readonly steps: number
  /** Its steps; or the word index at which it lies in the page before. */
  readonly parts: Steps | number
}
function lengthOf({ isWide }: Indexing, steps: number): number {
  return steps + (isWide ? steps : (steps + 1) >>> 1)
}
/** The word of its block. */
function tailWordOf({ start, steps }: Tail): number {
  return SIGN | (start << COUNT_BITS) | steps
}
function writeTail(indexing: Indexing, at: number, { steps, parts }: Tail): void {
  const { memory, isWide } = indexing
  const { i32, u16 } = memory
  const length = lengthOf(indexing, steps)
  if (typeof parts === 'number') {
    for (let word = 0; word < length; word++) store32(i32, at + word, load32(i32, parts + word))
    return
  }
  for (let step = 0; step < steps; step++) {
    const offset = parts.offsets[step] ?? 0
    if (isWide) store32(i32, at + step, offset | 0)
    else storeU16(u16, at * 2 + step, offset)
    store32(i32, at + length - steps + step, parts.words[step] ?? 0)
  }
}

function nextOf(cursor: Cursor<number, unknown>): number {
  return cursor.next() ?? Infinity
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
