/**
 * The magazine of a CPU and a cache: free objects that this CPU takes and gives back without a
 * lock, on lines that no other CPU touches. (Bonwick and Adams, "Magazines and vmem: extending the
 * slab allocator to many CPUs and arbitrary resources", USENIX 2001. Here a CPU has one magazine.
 * Half of it is exchanged with the slabs at a time, and there is no depot of full ones.)
 *
 *     count │ object │ object │ …        the last one is taken first
 *
 * An object in a magazine is free, whatever its tag says. Plain stores, in this order:
 *
 *     take   the tag names this CPU, then the count goes down
 *            killed between: still in the magazine
 *     give   entry, then the count goes up, then the tag says free
 *            killed between: already in the magazine
 *
 * So the reaper clears the tags of the objects in the magazine, and no object is lost or there
 * twice. (Why plain stores are enough: sync/journal.ts.) slab-cache.ts does everything else, such
 * as to refill an empty magazine.
 *
 * Hot: one object with plain fields, and functions short enough for the compiler to put into their
 * callers. The compiler knows more of plain fields than of private ones.
 * Cost: a take and a give about 10 ns; see "alloc" in docs/benchmarks.md.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { roundUp } from '../arithmetic.js'
import type { Geometry } from './geometry.js'
import { CacheLayout, MagazineLayout } from './layouts.js'
import type { Owner } from './owner.js'
import * as slots from './slots.js'
import * as tags from './tag.js'
import type { Slots } from './slots.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { locate, tagAt } = slots
const { mayFree } = tags

export interface Magazine extends Slots {
  readonly memory: Memory
  /** The tag of what is taken. */
  readonly token: number
  /** Word index of the count, which the entries follow, and the count at which there is no room. */
  readonly count: number
  readonly full: number
  /** Word index of the state of page 0, and the number of pages. */
  readonly states: number
  readonly pages: number
}

/** `at`: word index of the CacheLayout; `index`: number of the cache. */
export function openMagazine(owner: Owner, at: number, index: number, geometry: Geometry): Magazine {
  return {
    ...slots.slotsOf(geometry, index),
    memory: owner.memory,
    token: owner.token,
    count: magazineOf(at, owner.cpu, geometry.capacity),
    full: geometry.capacity,
    states: owner.pageMap.states,
    pages: owner.map.pages,
  }
}

/** The reference of the object that is taken next; 0 if the magazine is empty. */
export function peek(magazine: Magazine): number {
  const { i32 } = magazine.memory
  const count = load32(i32, magazine.count)
  return count === 0 ? 0 : load32(i32, magazine.count + count)
}

/** Takes an object, gives it this tag, and returns its address; 0 if the magazine is empty. */
export function take(magazine: Magazine, tag: number): number {
  const { i32 } = magazine.memory
  const count = load32(i32, magazine.count)
  if (count === 0) return 0
  const reference = load32(i32, magazine.count + count)
  // The tag before the count. Mutant: alloc/object-count-first.
  store32(i32, tagAt(magazine, reference), tag)
  store32(i32, magazine.count, count - 1)
  return reference * 8
}

/**
 * Gives an object back. `state`: that of the page there. False, and nothing done, if no object of
 * this cache starts there that this CPU may free, or if there is no room.
 */
export function give(magazine: Magazine, reference: number, state: number): boolean {
  const { i32 } = magazine.memory
  const tag = locate(magazine, reference, state)
  const count = load32(i32, magazine.count)
  // Mutant: alloc/frees-of-others.
  if (tag === 0 || !mayFree(load32(i32, tag), magazine.token) || count >= magazine.full) return false
  store32(i32, magazine.count + 1 + count, reference)
  // The count before the tag. Mutant: alloc/object-tag-first.
  store32(i32, magazine.count, count + 1)
  store32(i32, tag, 0)
  return true
}

/** Word index of a CPU's magazine. */
export function magazineOf(at: number, cpu: number, capacity: number): number {
  return at + (CacheLayout.stride + cpu * magazineStride(capacity)) / 4
}
/** Bytes of a magazine: its count, and its entries. */
export function magazineStride(capacity: number): number {
  return roundUp(MagazineLayout.size + capacity * 4, 64)
}
