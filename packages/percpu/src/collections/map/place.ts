/** Where a key is in its bucket, or could be: looked for under the bucket's lock. */
import * as mem from '#mem'
import type { I32View } from '#mem'
import { tagOf } from './hash.js'
import { MapBucket, TAG_WORDS } from './map-layout.js'
import { isEntryOf } from './reader.js'
import type { Scratch } from '../scratch.js'

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
    const pattern = Math.imul(tagOf(hash), 0x01010101)
    this.entry = 0
    this.slot = 0
    let block = bucket
    do {
      this.last = block
      for (let word = 0; word < TAG_WORDS; word++) {
        // atomic: only the holder of the lock changes it.
        const tags = loadAtomic32(i32, block + tagsField + word)
        for (let equal = zerosIn(tags ^ pattern, word); equal !== 0; equal &= equal - 1) {
          const shift = lowest(equal)
          const slot = block + slotsField + word * 4 + (shift >>> 3)
          // atomic: as above.
          const entry = loadAtomic32(i32, slot)
          // Above one that is equal there may be one that only seems to be: it may have no entry.
          if (entry === 0 || !isEntryOf(i32, entry * 2, key, hash)) continue
          this.entry = entry
          this.#take(slot, block, word, shift)
          return
        }
        const free = this.slot === 0 ? zerosIn(tags, word) : 0
        if (free !== 0) {
          const shift = lowest(free)
          this.#take(block + slotsField + word * 4 + (shift >>> 3), block, word, shift)
        }
      }
      // atomic: as above.
      block = loadAtomic32(i32, block + nextField) * 2
    } while (block !== 0)
  }

  /** The entry in a slot of a block whose bucket is locked. */
  at(i32: I32View, block: number, slot: number): void {
    this.#take(block + slotsField + slot, block, slot >>> 2, (slot & 3) * 8)
    // atomic: only the holder of the lock changes it.
    this.entry = loadAtomic32(i32, this.slot)
  }

  #take(slot: number, block: number, word: number, shift: number): void {
    this.slot = slot
    this.tagWord = block + tagsField + word
    this.shift = shift
  }

  /** The word of tags with another tag for the slot. */
  tagsWith(i32: I32View, tag: number): number {
    // atomic: as in search.
    return (loadAtomic32(i32, this.tagWord) & ~(0xff << this.shift)) | (tag << this.shift)
  }
}

/** The tags of word number `word` that are 0: their highest bits. The last word has three tags. */
function zerosIn(tags: number, word: number): number {
  return (tags - 0x01010101) & ~tags & (word === TAG_WORDS - 1 ? 0x00808080 : 0x80808080)
}
/** Where the lowest tag begins of those that `zerosIn` gave. */
function lowest(zeros: number): number {
  return (31 - Math.clz32(zeros & -zeros)) & 0x18
}

/** Whether a block has no entry. `block`: word index; the lock of its bucket is held. */
export function isEmptyBlock(i32: I32View, block: number): boolean {
  for (let word = 0; word < TAG_WORDS; word++) {
    // atomic: only the holder of the lock changes it.
    if (loadAtomic32(i32, block + tagsField + word) !== 0) return false
  }
  return true
}
