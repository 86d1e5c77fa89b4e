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
import { lastSet, nextClear, nextSet } from './bitmap.js'
import { BLOCK } from './geometry.js'
import { PercpuBlock } from './layouts.js'
import type { Words } from './words.js'

export const { contig, contigStart, scan, scanStart, left, right, firstFree } = PercpuBlock.words

/** All free. */
export function resetBlock(words: Words, block: number, length = BLOCK): void {
  words.put(block + contig, length)
  words.put(block + contigStart, 0)
  words.put(block + scan, 0)
  words.put(block + scanStart, 0)
  words.put(block + left, length)
  words.put(block + right, length)
  words.put(block + firstFree, 0)
}
/** All in use. */
export function exhaustBlock(words: Words, block: number): void {
  for (const hint of [contig, contigStart, scan, scanStart, left, right]) words.put(block + hint, 0)
  words.put(block + firstFree, BLOCK)
}

/** From the bitmap alone. `from`: bit in `map` at which the block begins. */
export function rebuildBlock(words: Words, block: number, map: number, from: number): void {
  const end = from + BLOCK
  exhaustBlock(words, block)
  words.put(block + firstFree, nextClear(words, map, from, end) - from)
  words.put(block + left, nextSet(words, map, from, end) - from)
  words.put(block + right, end - 1 - lastSet(words, map, from, end))
  searchContig(words, block, map, from, words.get(block + firstFree))
}

/** The longest run among those that begin at `start` or later, and the present contig. */
function searchContig(words: Words, block: number, map: number, from: number, start: number): void {
  const end = from + BLOCK
  for (let bit = nextClear(words, map, from + start, end); bit < end;) {
    const stop = nextSet(words, map, bit, end)
    considerLater(words, block, bit - from, stop - bit)
    bit = nextClear(words, map, stop, end)
  }
}

/** A run behind contig and all others known so far. */
function considerLater(words: Words, block: number, start: number, length: number): void {
  const longest = words.get(block + contig)
  if (length > longest || (length === longest && isBetterAligned(start, words.get(block + contigStart)))) {
    words.put(block + scan, longest)
    words.put(block + scanStart, words.get(block + contigStart))
    words.put(block + contig, length)
    words.put(block + contigStart, start)
  }
}

/** Granules [start, end) of the block were allocated; their bits are set. */
export function blockTaken(
  words: Words,
  block: number,
  map: number,
  from: number,
  start: number,
  end: number,
): void {
  lower(words, block + left, start)
  lower(words, block + right, BLOCK - end)
  const first = words.get(block + firstFree)
  if (start === first) words.put(block + firstFree, nextClear(words, map, from + end, from + BLOCK) - from)
  if (overlaps(words.get(block + scanStart), words.get(block + scan), start, end)) words.put(block + scan, 0)
  const at = words.get(block + contigStart)
  const length = words.get(block + contig)
  if (!overlaps(at, length, start, end)) return
  // Mutant: percpu/hint-kept.
  if (!shrinkContig(words, block, first, start, end)) breakContig(words, block, map, from)
}

/**
 * Where contig reaches the end of the block, nothing lies behind it; if what is left of it at the end is longer than all before it, it is
 * still the longest. False if that is not so, or not known.
 */
function shrinkContig(words: Words, block: number, first: number, start: number, end: number): boolean {
  const at = words.get(block + contigStart)
  const rest = BLOCK - end
  if (rest === 0 || at + words.get(block + contig) !== BLOCK) return false
  const before = words.get(block + scan)
  const padding = start - at
  if ((before === 0 && first !== at) || rest <= before || rest <= padding) return false
  if (padding > 0 && padding >= before) setScan(words, block, at, padding)
  words.put(block + contigStart, end)
  words.put(block + contig, rest)
  return true
}

/** The longest run is no more: the scan run takes its place, unless a longer one lies behind it. */
function breakContig(words: Words, block: number, map: number, from: number): void {
  const length = words.get(block + scan)
  const start = words.get(block + scanStart)
  words.put(block + contig, length)
  words.put(block + contigStart, length > 0 ? start : 0)
  words.put(block + scan, 0)
  searchContig(words, block, map, from, length > 0 ? start + length : words.get(block + firstFree))
}

/**
 * Granules [start, end) of the block were freed; their bits are clear. Returns the whole run that they belong to now, as start × 4096
 * + length.
 */
export function blockFreed(
  words: Words,
  block: number,
  map: number,
  from: number,
  start: number,
  end: number,
): number {
  const at = words.get(block + contigStart)
  const length = words.get(block + contig)
  const first = length > 0 && start === at + length ? at : lastSet(words, map, from, from + start) + 1 - from
  const stop = length > 0 && end === at ? at + length : nextSet(words, map, from + end, from + BLOCK) - from
  if (first === 0) words.put(block + left, stop)
  if (stop === BLOCK) words.put(block + right, BLOCK - first)
  consider(words, block, first, stop - first)
  if (first < words.get(block + firstFree)) words.put(block + firstFree, first)
  return first * 4096 + (stop - first)
}

/** A run that grew or is new. `firstFree` is still that from before. */
function consider(words: Words, block: number, start: number, length: number): void {
  const longest = words.get(block + contig)
  const at = words.get(block + contigStart)
  if (length > longest) becomeContig(words, block, start, length)
  else if (length === longest) {
    if (isBetterAligned(start, at)) becomeContig(words, block, start, length)
    else if (start < at) setScan(words, block, start, length)
  } else if (start < at) {
    const known = words.get(block + scan)
    const isOnly = words.get(block + firstFree) >= at
    if (isOnly || (known > 0 && length >= known)) setScan(words, block, start, length)
  }
}

function becomeContig(words: Words, block: number, start: number, length: number): void {
  const longest = words.get(block + contig)
  const at = words.get(block + contigStart)
  // The old one is the longest of all before; a scan that lies before both is the longest before the nearer one too.
  if (longest > 0 && start > at) setScan(words, block, at, longest)
  else if (words.get(block + scanStart) >= start) words.put(block + scan, 0)
  words.put(block + contig, length)
  words.put(block + contigStart, start)
}
function setScan(words: Words, block: number, start: number, length: number): void {
  words.put(block + scan, length)
  words.put(block + scanStart, start)
}

/** Where the search for a run of `length` in this block begins. */
export function searchStart(words: Words, block: number, length: number): number {
  const known = words.get(block + scan)
  return known > 0 && length > known ? words.get(block + scanStart) + known : words.get(block + firstFree)
}

function isBetterAligned(start: number, than: number): boolean {
  return than !== 0 && (start === 0 || (start & -start) > (than & -than))
}
function overlaps(at: number, length: number, start: number, end: number): boolean {
  return length > 0 && at < end && start < at + length
}
function lower(words: Words, word: number, to: number): void {
  if (words.get(word) > to) words.put(word, to)
}
