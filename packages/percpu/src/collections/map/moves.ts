/**
 * Moving entries between two buckets: what is noted of a split or a merge, and what is done then.
 * Each step can be repeated: notes.ts.
 */
import * as mem from '#mem'
import type { I32View, Memory } from '#mem'
import type { Tags } from '../../alloc/tags.js'
import { tagOf } from './hash.js'
import { MapBucket, MapNote, MapRoot, SLOTS } from './map-layout.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32, storeAtomic32 } = mem
const note = MapNote.words
const bucket = MapBucket.words
/** From the number of buckets to how many have a lock, and to how often some were merged. */
const made = MapRoot.words.made - MapRoot.words.buckets
const merges = MapRoot.words.merges - MapRoot.words.buckets

export const NONE = 0
/**
 * A bucket is split. `word`, `value`: of the number of buckets. `tagWord`: the bucket; `tagValue`:
 * the new one; `countWord`: the bit of their hashes in which they differ; `fresh`: overflow blocks
 * of the new one, or 0.
 */
export const SPLIT = 3
/**
 * As {@link SPLIT}, the other way round. `countValue`: how often buckets were merged before;
 * `fresh`: is for `tagWord`.
 */
export const MERGE = 5

/** The locks of parent and child are held, and that of the bucket that is split next. */
export interface Move {
  /** Word index of the number of buckets, and what it becomes. */
  readonly buckets: number
  readonly count: number
  /** Word indices of both buckets. */
  readonly parent: number
  readonly child: number
  /** Reference of the first of the overflow blocks that are needed, or 0. Nobody finds them yet. */
  readonly fresh: number
}

/** Notes a split. `bit`: that in which the hashes differ. */
export function noteSplit(memory: Memory, at: number, move: Move, bit: number): void {
  noteMove(memory, at, move)
  store32(memory.i32, at + note.countWord, bit)
  store32(memory.i32, at + note.operation, SPLIT)
}
/** Notes a merge. */
export function noteMerge(memory: Memory, at: number, move: Move): void {
  const { i32 } = memory
  noteMove(memory, at, move)
  // atomic: nobody else merges now.
  store32(i32, at + note.countValue, loadAtomic32(i32, move.buckets + merges))
  store32(i32, at + note.operation, MERGE)
}
function noteMove({ i32 }: Memory, at: number, { buckets, count, parent, child, fresh }: Move): void {
  store32(i32, at + note.word, buckets)
  store32(i32, at + note.value, count)
  store32(i32, at + note.tagWord, parent)
  store32(i32, at + note.tagValue, child)
  store32(i32, at + note.fresh, fresh)
  store32(i32, at + note.old, 0)
}

/** Splits as is noted. `tags`: those of the CPU whose note it is. */
export function finishSplit(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const word = load32(i32, at + note.word)
  const count = load32(i32, at + note.value)
  const parent = load32(i32, at + note.tagWord)
  const child = load32(i32, at + note.tagValue)
  const bit = load32(i32, at + note.countWord)
  append(i32, child, persist(i32, load32(i32, at + note.fresh), tags))
  for (let block = parent; block !== 0; block = nextOf(i32, block)) copyEntries(i32, block, bit, child)
  // Mutant: collections/lock-overwritten.
  if (load32(i32, word + made) < count) store32(i32, word + made, count)
  // H(map.buckets) publishes the new bucket, unless another one came since; pairs with G in
  // loadBuckets: it may be read from here on. Mutant: collections/split-published-first.
  if (loadAtomic32(i32, word) === count - 1) storeAtomic32(i32, word, count)
  for (let block = parent; block !== 0; block = nextOf(i32, block)) takeOut(i32, block, bit)
  store32(i32, at + note.operation, NONE)
}

/** Merges as is noted. `tags`: those of the CPU whose note it is. */
export function finishMerge(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const word = load32(i32, at + note.word)
  const count = load32(i32, at + note.value)
  const merged = load32(i32, at + note.countValue)
  const parent = load32(i32, at + note.tagWord)
  const child = load32(i32, at + note.tagValue)
  append(i32, parent, persist(i32, load32(i32, at + note.fresh), tags))
  copyEntries(i32, child, 0, parent)
  // After the copies: none of them may come into a block that both have.
  append(i32, parent, nextOf(i32, child) / 2)
  // atomic: nobody else changes it now.
  if (loadAtomic32(i32, word) !== count) {
    // M(map.merges) comes before the number; pairs with L in loadMerges: who finds the number
    // smaller, and larger again, finds this. Mutant: collections/merge-counted-late.
    storeAtomic32(i32, word + merges, merged + 1)
    // I(map.buckets) takes the last bucket away; pairs with G in loadBuckets: what it had is read
    // where it was copied to. Mutant: collections/merge-emptied-first.
    storeAtomic32(i32, word, count)
  }
  // N(map.merges) comes before the bucket is emptied; pairs with L in loadMerges: who has read the
  // old number, and finds nothing there, finds this. Mutant: collections/merge-counted-early.
  storeAtomic32(i32, word + merges, merged + 2)
  takeOut(i32, child, 0)
  // atomic: the bucket's lock is held.
  storeAtomic32(i32, child + bucket.next, 0)
  store32(i32, at + note.operation, NONE)
}

/** Makes a list of blocks persistent. Returns the reference of the first one, which it is given. */
function persist(i32: I32View, first: number, tags: Tags): number {
  for (let block = first; block !== 0; block = nextOf(i32, block * 2) / 2)
    if (tags.isInFlight(block * 8)) tags.persist(block * 8)
  return first
}
/** Lets blocks, by the reference of the first one or 0, follow the last block of a bucket. */
function append(i32: I32View, to: number, first: number): void {
  let last = to
  for (let block = to; block !== 0; block = nextOf(i32, block)) {
    if (block === first * 2) return
    last = block
  }
  // atomic: as E in findEntry. What they have was published before, or comes later.
  if (first !== 0) storeAtomic32(i32, last + bucket.next, first)
}

/** Copies the entries of a block whose hashes have a bit to a bucket, unless they are there. */
function copyEntries(i32: I32View, block: number, bit: number, to: number): void {
  for (let slot = 0; slot < SLOTS; slot++) {
    const entry = entryIn(i32, block, slot)
    if (entry !== 0 && isMoved(i32, entry, bit)) put(i32, to, entry)
  }
}
/** Puts an entry into a bucket that has room, unless it is there. */
function put(i32: I32View, to: number, entry: number): void {
  let at = 0
  let slot = 0
  for (let block = to; block !== 0; block = nextOf(i32, block))
    for (let i = 0; i < SLOTS; i++) {
      const other = entryIn(i32, block, i)
      if (other !== entry && (other !== 0 || at !== 0)) continue
      at = block
      slot = i
      if (other === entry) break
    }
  const word = at + bucket.tags + (slot >>> 2)
  // atomic: as D in finishChange. The tag afterwards: a slot without an entry has none.
  storeAtomic32(i32, at + bucket.slots + slot, entry)
  // atomic: a hint. A reader that sees it looks at the slot.
  storeAtomic32(i32, word, loadAtomic32(i32, word) | (tagOf(load32(i32, entry * 2)) << ((slot & 3) * 8)))
}
/** Takes the entries out of a block whose hashes have a bit. */
function takeOut(i32: I32View, block: number, bit: number): void {
  for (let slot = 0; slot < SLOTS; slot++) {
    const entry = entryIn(i32, block, slot)
    if (entry === 0 || !isMoved(i32, entry, bit)) continue
    const tagWord = block + bucket.tags + (slot >>> 2)
    // atomic: the bucket's lock is held. The tag first: a slot without an entry has none.
    storeAtomic32(i32, tagWord, loadAtomic32(i32, tagWord) & ~(0xff << ((slot & 3) * 8)))
    // atomic: as above.
    storeAtomic32(i32, block + bucket.slots + slot, 0)
  }
}
/** `bit`: 0 if all are. */
function isMoved(i32: I32View, entry: number, bit: number): boolean {
  return (load32(i32, entry * 2) & bit) === bit
}

function entryIn(i32: I32View, block: number, slot: number): number {
  // atomic: the bucket's lock is held.
  return loadAtomic32(i32, block + bucket.slots + slot)
}
/** Word index of the next block, or 0. */
function nextOf(i32: I32View, block: number): number {
  // atomic: as above.
  return loadAtomic32(i32, block + bucket.next) * 2
}
