/**
 * Shrinking: the last bucket is merged into the one that was split to make it, whenever there are
 * few entries for the buckets that there are; at most {@link AT_ONCE} of them by a call that takes
 * an entry away. map-layout.ts has the steps, spares.ts what becomes of the memory.
 *
 * Progress: whoever finds that another thread is at one of these buckets leaves it at that.
 * Cost: a merge copies what is in the first block of a bucket.
 */
import * as mem from '#mem'
import type { LayerLock } from '../../sync/layer-lock.js'
import { ensureStack, MANY } from '../../stack.js'
import { FIRST_BUCKETS, MapBucket, SLOTS } from './map-layout.js'
import { finishMerge, noteMerge } from './moves.js'
import { tryBlock } from './parts.js'
import { loadBuckets } from './reader.js'
import { Spares, type SpareParts } from './spares.js'
import { LOAD } from './split.js'
import { bucketWord, countEntries, parentOf, type MapTable } from './table.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { slots: slotsField, next: nextField } = MapBucket.words

/**
 * It begins to shrink at a quarter of the entries for each bucket at which it grows, and ends at
 * half of them: so a map whose size goes up and down does neither all the time.
 */
const BEGIN = LOAD / 4
const END = LOAD / 2
/** Buckets that a call merges at most. */
const AT_ONCE = 2
/** Entries that a CPU takes away before it counts again. */
const RECOUNT = 32

export class Merger {
  readonly #table: MapTable
  readonly #parts: SpareParts
  readonly #prune: (bucket: number) => void
  readonly #spares: Spares
  /** Entries that this thread has taken away since it has counted. */
  #removals = 0
  /** Buckets that there should be at most. */
  #wanted = 0
  #isShrinking = false

  /** `prune`: frees empty overflow blocks of a bucket whose lock is held. */
  constructor(table: MapTable, parts: SpareParts, prune: (bucket: number) => void) {
    this.#table = table
    this.#parts = parts
    this.#prune = prune
    this.#spares = new Spares(table, parts)
  }

  /** An entry was taken away. Cannot fail. */
  removed(): void {
    this.#removals++
  }

  /** An entry is about to be taken away, or put into a map that takes others out for it. */
  makeLess(): void {
    if (this.#removals >= RECOUNT) this.#recount()
    if (this.#isShrinking) this.#shrink()
  }
  #recount(): void {
    this.#removals = 0
    const entries = countEntries(this.#table)
    this.#wanted = Math.max(FIRST_BUCKETS, Math.ceil(entries / END))
    this.#isShrinking = entries < loadBuckets(this.#table) * BEGIN
  }
  #shrink(): void {
    ensureStack(MANY)
    for (let left = AT_ONCE; left > 0; left--) {
      const count = loadBuckets(this.#table)
      this.#isShrinking = count > this.#wanted
      if (!this.#isShrinking || !this.#merge(count)) break
    }
    this.#spares.look()
  }

  /** Takes the last of so many buckets away. False if that cannot be done now. */
  #merge(count: number): boolean {
    const table = this.#table
    const { lock, nextLock, childLock } = this.#parts
    const parent = bucketWord(table, parentOf(count - 1))
    const child = bucketWord(table, count - 1)
    return whileLocked(nextLock, bucketWord(table, parentOf(count)), () => {
      // Mutant: collections/merge-twice.
      if (loadBuckets(table) !== count) return false
      return whileLocked(lock, parent, () =>
        whileLocked(childLock, child, () => this.#join(parent, child, count - 1)),
      )
    })
  }
  /** Merges two buckets. False, and nothing changed, if there is no memory. */
  #join(parent: number, child: number, count: number): boolean {
    const { memory, buckets } = this.#table
    const { heap, note } = this.#parts
    let fresh = 0
    if (!hasRoom(memory.i32, parent, child)) {
      fresh = tryBlock(memory, heap)
      if (fresh === 0) return false
    }
    noteMerge(memory, note, { buckets, count, parent, child, fresh })
    finishMerge(memory, note, heap.tags)
    this.#prune(parent)
    return true
  }
}

/** Runs `work` under a lock that is free. False if it is not. */
function whileLocked(lock: LayerLock, word: number, work: () => boolean): boolean {
  if (!lock.tryLock(word)) return false
  try {
    return work()
  } finally {
    lock.unlock()
  }
}

/** Whether what is in the first block of a bucket has room in another bucket. */
function hasRoom(i32: mem.I32View, bucket: number, from: number): boolean {
  let room = countFree(i32, from) - SLOTS
  // atomic: the locks of both are held.
  for (let block = bucket; block !== 0; block = loadAtomic32(i32, block + nextField) * 2)
    room += countFree(i32, block)
  return room >= 0
}
function countFree(i32: mem.I32View, block: number): number {
  let count = 0
  for (let slot = block + slotsField; slot < block + slotsField + SLOTS; slot++) {
    // atomic: as above.
    if (loadAtomic32(i32, slot) === 0) count++
  }
  return count
}
