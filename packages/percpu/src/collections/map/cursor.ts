/**
 * Going through all entries, while others write: each entry that is there throughout is met exactly
 * once.
 *
 * Hashes are gone through in the order of their bits turned round. In that order the hashes of a
 * bucket lie side by side, and those of both halves of a bucket that is split lie in what was its
 * range. So a cursor, the first turned hash that has not been met, means the same whatever has been
 * split or merged meanwhile. (After the cursors of Redis's SCAN.)
 *
 * A step takes one bucket. If the bucket was split meanwhile, or any were merged since this thread
 * has looked last, the step is made again.
 */
import * as mem from '#mem'
import { MapBucket, SLOTS } from './map-layout.js'
import { loadBuckets, wasMerged } from './reader.js'
import { bitsOf, bucketOf, bucketWord, type MapTable } from './table.js'

const { load32, loadAtomic32 } = mem
const { tags: tagsField, slots: slotsField, next: nextField } = MapBucket.words

/** Behind all. */
export const END = 2 ** 32

/**
 * Fills `into` with the references of the entries of the bucket at the cursor, which are good until
 * the end of this stretch. Returns the next cursor; the first one is 0.
 */
export function step(table: MapTable, cursor: number, into: number[]): number {
  const hash = turned(cursor)
  for (;;) {
    const count = loadBuckets(table)
    const index = bucketOf(count, hash)
    const bits = bitsOf(count, hash)
    const size = 2 ** (32 - bits)
    const end = cursor - (cursor % size) + size
    into.length = 0
    collect(table, bucketWord(table, index), cursor, end, into)
    // If the bucket was split meanwhile, what has moved is in another one now. The hash at the
    // cursor may be among those that stay. Mutants: collections/walked-past,
    // collections/walked-past-merged.
    const now = loadBuckets(table)
    const isSame = bucketOf(now, hash) === index && bitsOf(now, hash) === bits
    if (isSame && !wasMerged(table)) return end
  }
}

function collect(
  { memory: { i32 } }: MapTable,
  bucket: number,
  begin: number,
  end: number,
  into: number[],
): void {
  // atomic: as C and E in findEntry.
  for (let block = bucket; block !== 0; block = loadAtomic32(i32, block + nextField) * 2)
    for (let slot = 0; slot < SLOTS; slot++) {
      // atomic: as above.
      const tags = loadAtomic32(i32, block + tagsField + (slot >>> 2))
      if (((tags >>> ((slot & 3) * 8)) & 0xff) === 0) continue
      // atomic: as above.
      const entry = loadAtomic32(i32, block + slotsField + slot)
      if (entry === 0) continue
      const at = turned(load32(i32, entry * 2))
      if (at >= begin && at < end) into.push(entry)
    }
}

/** The bits of a word in the opposite order. */
export function turned(word: number): number {
  word = ((word >>> 1) & 0x55555555) | ((word & 0x55555555) << 1)
  word = ((word >>> 2) & 0x33333333) | ((word & 0x33333333) << 2)
  word = ((word >>> 4) & 0x0f0f0f0f) | ((word & 0x0f0f0f0f) << 4)
  word = ((word >>> 8) & 0x00ff00ff) | ((word & 0x00ff00ff) << 8)
  return ((word >>> 16) | (word << 16)) >>> 0
}
