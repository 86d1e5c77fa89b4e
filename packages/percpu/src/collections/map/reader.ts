/**
 * Looking a key up: atomic loads, no lock, no write.
 *
 * The reader is a synchronous stretch, as any reader of RCU. What it finds is not freed before its
 * thread returns to the event loop, parks or polls.
 *
 * Progress: lock-free. It looks again only if it finds nothing, and the bucket was split meanwhile,
 * or any were merged since this thread has found nothing before.
 * Cost: the loads of a bucket's tags until one is equal, of the slot, and of the entry. Who finds
 * nothing loads two words more.
 */
import * as mem from '#mem'
import type { I32View } from '#mem'
import { tagOf } from './hash.js'
import { KEY_BITS } from '../limits.js'
import { MapBucket, MapEntry } from './map-layout.js'
import type { Scratch } from '../scratch.js'
import * as tables from './table.js'
import type { MapTable } from './table.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, loadAtomic32 } = mem
const { bucketOf, bucketWord } = tables
const { tags: tagsField, slots: slotsField, next: nextField } = MapBucket.words
const { lengths: lengthsField } = MapEntry.words
const keyMask = 2 ** KEY_BITS - 1
const keyField = MapEntry.stride / 4
/** Of each word of tags: the bits that say that a tag is 0. There are eleven. */
const ANY = 0x80808080 | 0
const LAST = 0x00808080

/** The reference of the entry with this key; 0 if there is none. */
export function findEntry(table: MapTable, key: Scratch, hash: number): number {
  const { i32 } = table.memory
  const pattern = Math.imul(tagOf(hash), 0x01010101)
  for (;;) {
    const index = bucketOf(loadBuckets(table), hash)
    let block = bucketWord(table, index)
    do {
      for (let word = 0; word < 3; word++) {
        // atomic: a hint, but not an old one: those of all that was set before are seen.
        const tags = loadAtomic32(i32, block + tagsField + word) ^ pattern
        let equal = (tags - 0x01010101) & ~tags & (word === 2 ? LAST : ANY)
        while (equal !== 0) {
          const slot = (word << 2) + ((31 - Math.clz32(equal & -equal)) >>> 3)
          // C(bucket.slots) pairs with D in finishChange: the entry's words may be read. Mutant:
          // collections/slot-by-plain-store.
          const entry = loadAtomic32(i32, block + slotsField + slot)
          if (entry !== 0 && isEntryOf(i32, entry * 2, key, hash)) return entry
          equal &= equal - 1
        }
      }
      // E(bucket.next) pairs with D in finishChange: the words of the block may be read. Mutant:
      // collections/slot-by-plain-store.
      block = loadAtomic32(i32, block + nextField) * 2
    } while (block !== 0)
    // The key may have moved while this looked where it had been. The count comes last: it tells of
    // all before. Mutants: collections/moved-missed, collections/merged-missed,
    // collections/merges-looked-at-first.
    if (bucketOf(loadBuckets(table), hash) === index && !wasMerged(table)) return 0
  }
}

/** Whether an entry, by its word index, has this key. */
export function isEntryOf(i32: I32View, entry: number, key: Scratch, hash: number): boolean {
  const { words, length } = key
  if (load32(i32, entry) !== hash || (load32(i32, entry + lengthsField) & keyMask) !== length) return false
  const first = entry + keyField
  const count = (length + 3) >>> 2
  for (let i = 0; i < count; i++) if (load32(i32, first + i) !== words[i]) return false
  return true
}

/** How many buckets there are. */
export function loadBuckets({ memory, buckets }: MapTable): number {
  // G(map.buckets) pairs with H in finishSplit, I in finishMerge: those buckets may be read.
  // Mutants: collections/split-published-first, collections/merge-emptied-first.
  return loadAtomic32(memory.i32, buckets)
}

/**
 * Whether buckets were merged since this thread has asked last, or opened the map. If not, the
 * number of buckets has not become smaller, and larger again, since.
 */
export function wasMerged(table: MapTable): boolean {
  const merges = loadMerges(table)
  if (merges === table.seenMerges) return false
  table.seenMerges = merges
  return true
}
/** How often buckets were merged. */
export function loadMerges({ memory, merges }: MapTable): number {
  // L(map.merges) pairs with M in finishMerge, N in finishMerge: what was read since the last time
  // was in its place. Mutants: collections/merge-counted-late, collections/merge-counted-early.
  return loadAtomic32(memory.i32, merges)
}
