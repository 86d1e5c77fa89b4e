/**
 * Hints of a page of a chunk: what a search must know to pass it by without looking at its bitmap. (After the kernel's
 * pcpu_block_md.)
 *
 *     0      firstFree     scan                 contig                          BLOCK
 *     │██████│  │███│██│  │≤ scan│█│    free    │███████│   free    │████│ right │
 *      left = 0
 *
 * Invariants, checked by verify.ts after each step of the property tests: firstFree, left, right and contig are exact; scan is the
 * longest run that ends before contigStart, or 0 where that is not known. So a run longer than scan lies at contigStart or
 * behind it, and a broken contig is found again by looking only behind the scan run.
 *
 * (The kernel's scan may fall short of the longest run before contig; a search then misses a run that would fit. Here a scan that
 * is not known to be exact is given up.)
 */
import type { I32View } from '#mem'
import * as mem from '#mem'
import { lastSet, nextClear, nextSet } from './bitmap.js'
import { BLOCK } from './geometry.js'
import { PercpuBlock } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

export const { contig, contigStart, scan, scanStart, left, right, firstFree } = PercpuBlock.words

/** All free. */
export function resetBlock(view: I32View, block: number, length = BLOCK): void {
  store32(view, block + contig, length)
  store32(view, block + contigStart, 0)
  store32(view, block + scan, 0)
  store32(view, block + scanStart, 0)
  store32(view, block + left, length)
  store32(view, block + right, length)
  store32(view, block + firstFree, 0)
}
/** All in use. */
export function exhaustBlock(view: I32View, block: number): void {
  for (const hint of [contig, contigStart, scan, scanStart, left, right]) store32(view, block + hint, 0)
  store32(view, block + firstFree, BLOCK)
}

/** From the bitmap alone. `from`: bit in `map` at which the block begins. */
export function rebuildBlock(view: I32View, block: number, map: number, from: number): void {
  const end = from + BLOCK
  exhaustBlock(view, block)
  store32(view, block + firstFree, nextClear(view, map, from, end) - from)
  store32(view, block + left, nextSet(view, map, from, end) - from)
  store32(view, block + right, end - 1 - lastSet(view, map, from, end))
  searchContig(view, block, map, from, load32(view, block + firstFree))
}

/** The longest run among those that begin at `start` or later, and the present contig. */
function searchContig(view: I32View, block: number, map: number, from: number, start: number): void {
  const end = from + BLOCK
  for (let bit = nextClear(view, map, from + start, end); bit < end;) {
    const stop = nextSet(view, map, bit, end)
    considerLater(view, block, bit - from, stop - bit)
    bit = nextClear(view, map, stop, end)
  }
}

/** A run behind contig and all others known so far. */
function considerLater(view: I32View, block: number, start: number, length: number): void {
  const longest = load32(view, block + contig)
  if (length > longest || (length === longest && isBetterAligned(start, load32(view, block + contigStart)))) {
    store32(view, block + scan, longest)
    store32(view, block + scanStart, load32(view, block + contigStart))
    store32(view, block + contig, length)
    store32(view, block + contigStart, start)
  }
}

/** Granules [start, end) of the block were allocated; their bits are set. */
export function blockTaken(
  view: I32View,
  block: number,
  map: number,
  from: number,
  start: number,
  end: number,
): void {
  lower(view, block + left, start)
  lower(view, block + right, BLOCK - end)
  const first = load32(view, block + firstFree)
  if (start === first) store32(view, block + firstFree, nextClear(view, map, from + end, from + BLOCK) - from)
  if (overlaps(load32(view, block + scanStart), load32(view, block + scan), start, end))
    store32(view, block + scan, 0)
  const at = load32(view, block + contigStart)
  const length = load32(view, block + contig)
  if (!overlaps(at, length, start, end)) return
  // Mutant: percpu/hint-kept.
  if (!shrinkContig(view, block, first, start, end)) breakContig(view, block, map, from)
}

/**
 * Where contig reaches the end of the block, nothing lies behind it; if what is left of it at the end is longer than all before it, it is
 * still the longest. False if that is not so, or not known.
 */
function shrinkContig(view: I32View, block: number, first: number, start: number, end: number): boolean {
  const at = load32(view, block + contigStart)
  const rest = BLOCK - end
  if (rest === 0 || at + load32(view, block + contig) !== BLOCK) return false
  const before = load32(view, block + scan)
  const padding = start - at
  if ((before === 0 && first !== at) || rest <= before || rest <= padding) return false
  if (padding > 0 && padding >= before) setScan(view, block, at, padding)
  store32(view, block + contigStart, end)
  store32(view, block + contig, rest)
  return true
}

/** The longest run is no more: the scan run takes its place, unless a longer one lies behind it. */
function breakContig(view: I32View, block: number, map: number, from: number): void {
  const length = load32(view, block + scan)
  const start = load32(view, block + scanStart)
  store32(view, block + contig, length)
  store32(view, block + contigStart, length > 0 ? start : 0)
  store32(view, block + scan, 0)
  searchContig(view, block, map, from, length > 0 ? start + length : load32(view, block + firstFree))
}

/**
 * Granules [start, end) of the block were freed; their bits are clear. Returns the whole run that they belong to now, as start × 4096
 * + length.
 */
export function blockFreed(
  view: I32View,
  block: number,
  map: number,
  from: number,
  start: number,
  end: number,
): number {
  const at = load32(view, block + contigStart)
  const length = load32(view, block + contig)
  const first = length > 0 && start === at + length ? at : lastSet(view, map, from, from + start) + 1 - from
  const stop = length > 0 && end === at ? at + length : nextSet(view, map, from + end, from + BLOCK) - from
  if (first === 0) store32(view, block + left, stop)
  if (stop === BLOCK) store32(view, block + right, BLOCK - first)
  consider(view, block, first, stop - first)
  if (first < load32(view, block + firstFree)) store32(view, block + firstFree, first)
  return first * 4096 + (stop - first)
}

/** A run that grew or is new. `firstFree` is still that from before. */
function consider(view: I32View, block: number, start: number, length: number): void {
  const longest = load32(view, block + contig)
  const at = load32(view, block + contigStart)
  if (length > longest) becomeContig(view, block, start, length)
  else if (length === longest) {
    if (isBetterAligned(start, at)) becomeContig(view, block, start, length)
    else if (start < at) setScan(view, block, start, length)
  } else if (start < at) {
    const known = load32(view, block + scan)
    const isOnly = load32(view, block + firstFree) >= at
    if (isOnly || (known > 0 && length >= known)) setScan(view, block, start, length)
  }
}

function becomeContig(view: I32View, block: number, start: number, length: number): void {
  const longest = load32(view, block + contig)
  const at = load32(view, block + contigStart)
  // The old one is the longest of all before; a scan that lies before both is the longest before the nearer one too.
  if (longest > 0 && start > at) setScan(view, block, at, longest)
  else if (load32(view, block + scanStart) >= start) store32(view, block + scan, 0)
  store32(view, block + contig, length)
  store32(view, block + contigStart, start)
}
function setScan(view: I32View, block: number, start: number, length: number): void {
  store32(view, block + scan, length)
  store32(view, block + scanStart, start)
}

/** Where the search for a run of `length` in this block begins. */
export function searchStart(view: I32View, block: number, length: number): number {
  const known = load32(view, block + scan)
  return known > 0 && length > known
    ? load32(view, block + scanStart) + known
    : load32(view, block + firstFree)
}

function isBetterAligned(start: number, than: number): boolean {
  return than !== 0 && (start === 0 || (start & -start) > (than & -than))
}
function overlaps(at: number, length: number, start: number, end: number): boolean {
  return length > 0 && at < end && start < at + length
}
function lower(view: I32View, word: number, to: number): void {
  if (load32(view, word) > to) store32(view, word, to)
}
