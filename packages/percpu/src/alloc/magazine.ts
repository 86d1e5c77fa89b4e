/**
 * The magazine of a CPU and a cache: free objects that this CPU takes and gives back without a lock, on lines that nobody else
 * touches. (Bonwick and Adams, "Magazines and vmem: extending the slab allocator to many CPUs and arbitrary resources", USENIX 2001.
 * Here a CPU has one magazine, of which half is exchanged with the slabs at a time, and there is no depot of full ones.)
 *
 *     count │ object │ object │ …        the last one is taken first
 *
 * What is in a magazine is free, whatever its tag says. Plain stores, in this order:
 *
 *     take   the tag names this CPU, then the count goes down         killed between: the object is still in the magazine
 *     give   entry, then the count goes up, then the tag says free    killed between: the object is in the magazine already
 *
 * so after a death the reaper clears the tags of what is in the magazine, and nothing is lost or there twice. (Why plain stores are
 * enough: sync/journal.ts.) Everything else, an empty or full magazine included, is the business of cache.ts.
 *
 * One object with plain fields, and functions short enough for the compiler to put into their callers: it knows more of plain fields
 * than of private ones.
 * Cost: a take and a give about 10 ns; see "alloc" in docs/benchmarks.md.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { roundUp } from '../arithmetic.js'
import { PAGE_REF_SHIFT } from './address.js'
import type { Owner } from './owner.js'
import { reciprocal, type Geometry } from './geometry.js'
import { CacheLayout, MagazineLayout } from './layouts.js'
import { CACHE_SHIFT, COLOUR_SHIFT, OF_CACHE, SLAB, state } from './page-map.js'
import { TAGS } from './slabs.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const ofCache = OF_CACHE
const colourShift = COLOUR_SHIFT

export interface Magazine {
  readonly memory: Memory
  readonly token: number
  /** Word index of the count, which the entries follow, and the count at which there is no room. */
  readonly count: number
  readonly full: number
  /** What the state of each page of the cache's slabs has in {@link OF_CACHE}. */
  readonly state: number
  /** Word index of the state of page 0, and the number of pages. */
  readonly pageMap: number
  readonly pages: number
  /** In references: the part of an address that its slab's objects share, where the first begins, from one to the next. */
  readonly mask: number
  readonly first: number
  readonly stride: number
  readonly colourStep: number
  readonly objects: number
  /** Word of the first tag in a slab. */
  readonly tags: number
  /** Multiplied with and shifted by, they divide by the stride. */
  readonly inverse: number
  readonly shift: number
}

/** `at`: word index of the CacheLayout; `index`: number of the cache. */
export function openMagazine(owner: Owner, at: number, index: number, geometry: Geometry): Magazine {
  const [inverse, shift] = reciprocal(geometry.stride / 8, 1 << (PAGE_REF_SHIFT + geometry.order))
  return {
    memory: owner.memory,
    token: owner.token,
    count: magazineOf(at, owner.cpu, geometry.capacity),
    full: geometry.capacity,
    state: SLAB | (index << CACHE_SHIFT),
    pageMap: owner.map.pageMap + state,
    pages: owner.map.pages,
    mask: ~((1 << (PAGE_REF_SHIFT + geometry.order)) - 1),
    first: geometry.first / 8,
    stride: geometry.stride / 8,
    colourStep: geometry.colourStep / 8,
    objects: geometry.objects,
    tags: TAGS,
    inverse,
    shift,
  }
}

/** Takes an object, which is this CPU's in flight from then on, and returns its address; 0 if the magazine is empty. */
export function take(magazine: Magazine): number {
  const { i32 } = magazine.memory
  const count = load32(i32, magazine.count)
  if (count === 0) return 0
  const reference = load32(i32, magazine.count + count)
  // The slab's colour does not matter: it is less than a stride.
  const slab = reference & magazine.mask
  const index = Math.imul(reference - slab - magazine.first, magazine.inverse) >>> magazine.shift
  // The tag before the count. Mutant: alloc/object-count-first.
  store32(i32, ((slab << 1) + magazine.tags + index) | 0, magazine.token)
  store32(i32, magazine.count, count - 1)
  return reference * 8
}

/**
 * Gives an object back. `found`: the state of the page there. False, and nothing done, if it is not an allocated object of this
 * cache, or there is no room.
 */
export function give(magazine: Magazine, reference: number, found: number): boolean {
  const { i32 } = magazine.memory
  const slab = reference & magazine.mask
  const colour = Math.imul(found >>> colourShift, magazine.colourStep)
  const offset = (reference - slab - magazine.first - colour) | 0
  const index = Math.imul(offset, magazine.inverse) >>> magazine.shift
  const tag = ((slab << 1) + magazine.tags + index) | 0
  const count = load32(i32, magazine.count)
  if (
    (found & ofCache) !== magazine.state ||
    Math.imul(index, magazine.stride) !== offset ||
    index >= magazine.objects ||
    load32(i32, tag) <= 0 ||
    count >= magazine.full
  )
    return false
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
