/**
 * Growing: a bucket is split whenever there are too many entries for the buckets that there are; at
 * most {@link AT_ONCE} of them by the writer of one entry. map-layout.ts has the steps.
 *
 * Progress: whoever finds that another thread is at the next bucket leaves it at that.
 */
import * as mem from '#mem'
import { OutOfMemoryError } from '../../machine/errors.js'
import { LockTimeoutError } from '../../sync/errors.js'
import { MapBucket, MapEntry, SLOTS } from './map-layout.js'
import { finishSplit, noteSplit } from './moves.js'
import { makeChange, noteWord } from './notes.js'
import { loadBuckets } from './reader.js'
import {
  blockOf,
  bucketsIn,
  bucketWord,
  countEntries,
  firstOf,
  highestBit,
  parentOf,
  type MapTable,
} from './table.js'
import { clearBlock, tryBlock, type WriterParts } from './parts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, storeAtomic32 } = mem
const { slots: slotsField, next: nextField } = MapBucket.words

/** Entries for each bucket. */
export const LOAD = 7
/** Buckets that the writer of one entry splits at most. */
const AT_ONCE = 2
/** Entries that a CPU puts before it counts again; a power of two. */
const RECOUNT = 32

export class Splitter {
  readonly #table: MapTable
  readonly #parts: WriterParts
  readonly #prune: (bucket: number) => void
  /** Entries that this thread has put. */
  #puts = 0
  /** Buckets that there should be, and that there were when it looked. */
  #wanted = 0
  #known = 0

  /** `prune`: frees empty overflow blocks of a bucket whose lock is held. */
  constructor(table: MapTable, parts: WriterParts, prune: (bucket: number) => void) {
    this.#table = table
    this.#parts = parts
    this.#prune = prune
  }

  /** An entry is about to be put. */
  makeRoom(): void {
    this.#puts = (this.#puts + 1) | 0
    if ((this.#puts & (RECOUNT - 1)) === 0) {
      this.#wanted = Math.floor(countEntries(this.#table) / LOAD)
      // There may be fewer than before. Mutant: collections/shrunk-for-ever.
      this.#known = loadBuckets(this.#table)
    }
    if (this.#wanted > this.#known) this.#grow(AT_ONCE)
  }

  /**
   * Splits until there are enough buckets for so many entries, or there is no memory.
   *
   * @throws OutOfMemoryError, with nothing changed, if they would not fit beside their buckets.
   */
  reserve(entries: number): void {
    const { byteLength } = this.#table.memory
    const buckets = Math.ceil(entries / LOAD)
    if (entries * MapEntry.stride + buckets * MapBucket.stride > byteLength)
      throw new OutOfMemoryError(
        `no room for ${entries} entries in ${byteLength} bytes: boot with more \`memory\``,
        {
          entries,
          bytes: byteLength,
        },
      )
    this.#wanted = Math.max(this.#wanted, buckets)
    this.#grow(Infinity)
  }

  #grow(splits: number): void {
    for (; splits > 0; splits--) {
      this.#known = loadBuckets(this.#table)
      if (this.#known >= this.#wanted) return
      if (this.#split(this.#known)) continue
      // Somebody else is at it, or there is no memory: it is tried again after some more entries.
      this.#wanted = 0
      return
    }
  }

  /** Makes bucket number `count`. False if it is not to be had now. */
  #split(count: number): boolean {
    const table = this.#table
    const { lock } = this.#parts
    const parent = bucketWord(table, parentOf(count))
    try {
      if (!this.#hasBlock(count, parent)) return false
      if (!lock.tryLock(parent)) return false
    } catch (error) {
      if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return false
      throw error
    }
    try {
      // Mutant: collections/split-twice.
      if (loadBuckets(table) !== count) return false
      // It may have been given back meanwhile. Mutant: collections/split-into-nothing.
      if (load32(table.memory.i32, table.directory + blockOf(count)) === 0) return false
      this.#enter(count)
      return this.#divide(parent, bucketWord(table, count), count)
    } finally {
      lock.unlock()
    }
  }

  /** Sees to it that there is memory for bucket number `index`. @throws OutOfMemoryError. */
  #hasBlock(index: number, parent: number): boolean {
    const { memory, directory, blocks } = this.#table
    const { heap, lock, note } = this.#parts
    const { i32 } = memory
    const block = blockOf(index)
    if (index !== firstOf(block)) return true
    if (block >= blocks) return false
    const word = directory + block
    // What another thread stores is seen under the lock.
    if (!lock.tryLock(parent)) return false
    const isThere = loadBuckets(this.#table) !== index || load32(i32, word) !== 0
    lock.unlock()
    if (isThere) return true
    const address = heap.alloc(bucketsIn(block) * MapBucket.stride, { align: 64 })
    if (!lock.tryLock(parent)) {
      heap.free(address)
      return false
    }
    const isWanted = loadBuckets(this.#table) === index && load32(i32, word) === 0
    if (isWanted) {
      noteWord(memory, note, word, address / 8, address / 8)
      makeChange(memory, note, heap.tags)
    }
    lock.unlock()
    if (!isWanted) heap.free(address)
    return true
  }

  /** The first bucket of a block is counted, before anybody finds it. */
  #enter(index: number): void {
    const { memory, entered } = this.#table
    const block = blockOf(index)
    if (index !== firstOf(block)) return
    const word = entered + block
    // atomic: whoever gives the block back looks at it later, with the same lock held. Mutant:
    // collections/block-entered-unseen.
    storeAtomic32(memory.i32, word, loadAtomic32(memory.i32, word) + 1)
  }

  /** Splits a bucket whose lock is held. False, and nothing changed, if that cannot be done now. */
  #divide(parent: number, child: number, count: number): boolean {
    const { memory, buckets, made } = this.#table
    const { heap, note, childLock } = this.#parts
    // Of one that there was before, a writer that came too late may have the lock. Mutant:
    // collections/lock-overwritten.
    if (count >= load32(memory.i32, made)) clearBlock(memory, child)
    if (!childLock.tryLock(child)) return false
    try {
      const bit = highestBit(count)
      const fresh = this.#blocksFor(countMoved(memory.i32, parent, bit))
      if (fresh === undefined) return false
      noteSplit(memory, note, { buckets, count: count + 1, parent, child, fresh }, bit)
      finishSplit(memory, note, heap.tags)
    } finally {
      childLock.unlock()
    }
    this.#prune(parent)
    return true
  }

  /** As many overflow blocks as so many entries need: the first one's reference; 0 if none. */
  #blocksFor(entries: number): number | undefined {
    const { memory } = this.#table
    const { heap } = this.#parts
    let first = 0
    for (let room = SLOTS; room < entries; room += SLOTS) {
      const block = tryBlock(memory, heap)
      if (block === 0) {
        this.#freeBlocks(first)
        return undefined
      }
      // atomic: nobody finds it yet.
      storeAtomic32(memory.i32, block * 2 + nextField, first)
      first = block
    }
    return first
  }
  #freeBlocks(first: number): void {
    const { i32 } = this.#table.memory
    for (let block = first; block !== 0;) {
      // atomic: nobody has found it.
      const next = loadAtomic32(i32, block * 2 + nextField)
      this.#parts.heap.free(block * 8)
      block = next
    }
  }
}

/** How many entries of a bucket have a bit in their hash. */
function countMoved(i32: mem.I32View, bucket: number, bit: number): number {
  let count = 0
  // atomic: the lock is held.
  for (let block = bucket; block !== 0; block = loadAtomic32(i32, block + nextField) * 2)
    for (let slot = block + slotsField; slot < block + slotsField + SLOTS; slot++) {
      // atomic: as above.
      const entry = loadAtomic32(i32, slot)
      if (entry !== 0 && (load32(i32, entry * 2) & bit) !== 0) count++
    }
  return count
}
