/** The version that there is. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { INDEX_AT, INDEX_WORDS } from './index-words.js'
import { RangeVersion } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32 } = mem
const { node, level, size, number, empty, reserve, index } = RangeVersion.words

/** The reference of the present version, or 0. `word`: index of `current`. */
export function currentVersion({ i32 }: Memory, word: number): number {
  // K(range.current) pairs with J in finishPublishing: the words of the version, and of its nodes,
  // may be read. Mutant: collections/range-by-plain-store.
  return loadAtomic32(i32, word)
}

/** The reference of the topmost node of a version, or 0. */
export function rootOf({ i32 }: Memory, version: number): number {
  return version === 0 ? 0 : load32(i32, version * 2 + node)
}
export function heightOf({ i32 }: Memory, version: number): number {
  return load32(i32, version * 2 + level)
}
export function sizeOf({ i32 }: Memory, version: number): number {
  return version === 0 ? 0 : load32(i32, version * 2 + size)
}
export function numberOf({ i32 }: Memory, version: number): number {
  return version === 0 ? 0 : load32(i32, version * 2 + number) >>> 0
}

/** The reference of the version that takes the place of one when all its ranges end, or 0. */
export function emptyOf({ i32 }: Memory, version: number): number {
  return version === 0 ? 0 : load32(i32, version * 2 + empty)
}

/** The reference of what a version keeps for when memory is full, or 0. */
export function reserveOf({ i32 }: Memory, version: number): number {
  return version === 0 ? 0 : load32(i32, version * 2 + reserve)
}

/** Whether a version, by its word index, has an index. */
export function isIndexed({ i32 }: Memory, version: number): boolean {
  return load32(i32, version + index) !== 0
}
/** The words of the index of a version; undefined if there is none. */
export function indexOf(memory: Memory, version: number): Int32Array | undefined {
  const { i32 } = memory
  if (version === 0 || !isIndexed(memory, version * 2)) return undefined
  const words = new Int32Array(INDEX_WORDS)
  for (let word = 0; word < INDEX_WORDS; word++) words[word] = load32(i32, version * 2 + INDEX_AT + word)
  return words
}

/** What a version says. */
export interface VersionWords {
  readonly root: number
  readonly level: number
  readonly size: number
  readonly number: number
  readonly empty: number
  readonly reserve: number
  readonly index: Int32Array | undefined
}
export function versionBytes(words: Int32Array | undefined): number {
  return RangeVersion.stride + (words === undefined ? 0 : INDEX_WORDS * 4)
}
/** Fills a version, by its reference, that nobody else knows. */
export function fillVersion({ i32 }: Memory, version: number, words: VersionWords): void {
  const at = version * 2
  store32(i32, at + node, words.root)
  store32(i32, at + level, words.level)
  store32(i32, at + size, words.size)
  store32(i32, at + number, words.number)
  store32(i32, at + empty, words.empty)
  store32(i32, at + reserve, words.reserve)
  store32(i32, at + index, words.index === undefined ? 0 : 1)
  if (words.index === undefined) return
  for (let word = 0; word < INDEX_WORDS; word++) store32(i32, at + INDEX_AT + word, words.index[word] ?? 0)
}
