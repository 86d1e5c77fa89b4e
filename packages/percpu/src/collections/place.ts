/** Where a key is in its bucket, or could be: looked for under the bucket's lock. */
import * as mem from '#mem'
import type { I32View } from '#mem'
import { tagOf } from './hash.js'
import { MapBucket, SLOTS, TAG_WORDS } from './map-layout.js'
import { isEntryOf } from './reader.js'
import type { Scratch } from './scratch.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { tags: tagsField, slots: slotsField, next: nextField } = MapBucket.words

/** Word indices, and a reference. Filled anew by each search: nothing is allocated. */
export class Place {
  /** The reference of the key's entry, or 0. */
  entry = 0
  /** Its slot; if there is none, a free one, or 0. */
  slot = 0
  /** The tags that the slot belongs to, and the place of its tag among them, in bits. */
  tagWord = 0
  shift = 0
  /** The last block of the bucket. */
  last = 0

  /** `bucket`: word index of a bucket whose lock is held. */
  search(i32: I32View, bucket: number, key: Scratch, hash: number): void {
    const tag = tagOf(hash)
    this.entry = 0
    this.slot = 0
    let block = bucket
    do {
      this.last = block
      for (let slot = 0; slot < SLOTS; slot++) {
        const tagWord = block + tagsField + (slot >>> 2)
        const shift = (slot & 3) * 8
        // atomic: only the holder of the lock changes it.
        const found = (loadAtomic32(i32, tagWord) >>> shift) & 0xff
        if (found !== tag && (found !== 0 || this.slot !== 0)) continue
        const slotWord = block + slotsField + slot
        // atomic: as above.
        const entry = found === 0 ? 0 : loadAtomic32(i32, slotWord)
        if (found !== 0 && !isEntryOf(i32, entry * 2, key, hash)) continue
        this.slot = slotWord
        this.tagWord = tagWord
        this.shift = shift
        this.entry = entry
        if (entry !== 0) return
      }
      // atomic: as above.
      block = loadAtomic32(i32, block + nextField) * 2
    } while (block !== 0)
  }

  /** The word of tags with another tag for the slot. */
  tagsWith(i32: I32View, tag: number): number {
    // atomic: as in search.
    return (loadAtomic32(i32, this.tagWord) & ~(0xff << this.shift)) | (tag << this.shift)
  }
}

/** Whether a block has no entry. `block`: word index; the lock of its bucket is held. */
export function isEmptyBlock(i32: I32View, block: number): boolean {
  for (let word = 0; word < TAG_WORDS; word++) {
    // atomic: only the holder of the lock changes it.
    if (loadAtomic32(i32, block + tagsField + word) !== 0) return false
  }
  return true
}
