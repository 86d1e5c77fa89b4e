/**
 * Hints of a block: what a search must know to pass it by without a look at its bitmap. (After the
 * kernel's pcpu_block_md.)
 *
 *     0      firstFree     scan                 contig                          1024
 *     │██████│  │███│██│  │≤ scan│█│    free    │███████│   free    │████│ right │
 *      left = 0
 *
 * The equations that they obey are those named block.… in layouts.ts. From them follows where to
 * look: a run longer than a known `scan` lies at contigStart or behind it. So a run for a large
 * request is looked for behind the scan run only, and so is the next longest run when the longest
 * was broken.
 *
 * (The kernel's scan may be shorter than the longest run before contig; a search then misses a run
 * that would fit. Here a scan that is not known to be exact is given up.)
 *
 * `map` is the word index of the chunk's `allocated`, and `from` the bit in it at which the block
 * begins. All functions run under the lock.
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
export function resetBlock(view: I32View, block: number): void {
  store32(view, block + contig, BLOCK)
  store32(view, block + contigStart, 0)
  store32(view, block + scan, 0)
  store32(view, block + scanStart, 0)
  store32(view, block + left, BLOCK)
  store32(view, block + right, BLOCK)
  store32(view, block + firstFree, 0)
}
/** All allocated. */
export function exhaustBlock(view: I32View, block: number): void {
  for (const hint of [contig, contigStart, scan, scanStart, left, right]) store32(view, block + hint, 0)
  store32(view, block + firstFree, BLOCK)
}

/** From the bitmap alone. */
export function rebuildBlock(view: I32View, block: number, map: number, from: number): void {
  const end = from + BLOCK
  exhaustBlock(view, block)
  store32(view, block + firstFree, nextClear(view, map, from, end) - from)
  store32(view, block + left, nextSet(view, map, from, end) - from)
  store32(view, block + right, end - 1 - lastSet(view, map, from, end))
  searchContig(view, block, map, from, load32(view, block + firstFree))
}

/** Makes contig the longest of itself and all runs that begin at granule `start` or later. */
function searchContig(view: I32View, block: number, map: number, from: number, start: number): void {
  const end = from + BLOCK
  for (let bit = nextClear(view, map, from + start, end); bit < end;) {
    const stop = nextSet(view, map, bit, end)
    considerLater(view, block, bit - from, stop - bit)
    bit = nextClear(view, map, stop, end)
  }
}

/** A run behind the present contig and all others known so far. */
function considerLater(view: I32View, block: number, start: number, length: number): void {
  const longest = load32(view, block + contig)
  if (length > longest || (length === longest && isBetterAligned(start, load32(view, block + contigStart)))) {
    store32(view, block + scan, longest)
    store32(view, block + scanStart, load32(view, block + contigStart))
    store32(view, block + contig, length)
    store32(view, block + contigStart, start)
  }
}

/** Granules [start, end) of the block were allocated, but not all of it; their bits are set. */
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
  if (!shortenContig(view, block, first, start, end)) breakContig(view, block, map, from)
}

/**
 * Contig lost [start, end). If it reaches the end of the block, what is left of it there may still
 * be the longest run. Returns false if that is not so, or not known.
 */
function shortenContig(view: I32View, block: number, first: number, start: number, end: number): boolean {
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

/** Contig is broken: the scan run takes its place, unless a longer one lies behind that. */
function breakContig(view: I32View, block: number, map: number, from: number): void {
  const length = load32(view, block + scan)
  const start = load32(view, block + scanStart)
  store32(view, block + contig, length)
  store32(view, block + contigStart, length > 0 ? start : 0)
  store32(view, block + scan, 0)
  searchContig(view, block, map, from, length > 0 ? start + length : load32(view, block + firstFree))
}

/**
 * Granules [start, end) of the block were freed; their bits are clear.
 *
 * @returns the whole run that they belong to now, as start × 4096 + length.
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

/** A run that grew, or is new. `firstFree` is still that from before. */
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
  // The old contig is the longest before the new one. A scan that lies before both stays exact.
  if (longest > 0 && start > at) setScan(view, block, at, longest)
  else if (load32(view, block + scanStart) >= start) store32(view, block + scan, 0)
  store32(view, block + contig, length)
  store32(view, block + contigStart, start)
}
function setScan(view: I32View, block: number, start: number, length: number): void {
  store32(view, block + scan, length)
  store32(view, block + scanStart, start)
}

/** The granule at which the search for a run of `length` in this block begins. */
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
