/** The version that there is. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { RangeVersion } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32 } = mem
const { node, level, size, number } = RangeVersion.words

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
