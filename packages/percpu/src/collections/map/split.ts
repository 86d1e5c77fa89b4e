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
import { finishSplit, makeChange, noteSplit, noteWord } from './notes.js'
import { loadBuckets } from './reader.js'
import { blockOf, bucketsIn, bucketWord, countEntries, firstOf, type MapTable } from './table.js'
import { clearBlock, type WriterParts } from './parts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, storeAtomic32 } = mem
const { lock: lockField, tags: tagsField, slots: slotsField, next: nextField } = MapBucket.words

/** Entries for each bucket. */
const LOAD = 7
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
    if ((this.#puts & (RECOUNT - 1)) === 0) this.#wanted = Math.floor(countEntries(this.#table) / LOAD)
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
    const bit = 1 << (31 - Math.clz32(count))
    const parent = bucketWord(table, count - bit)
    try {
      if (!this.#hasBlock(count, parent)) return false
      if (!lock.tryLock(parent)) return false
    } catch (error) {
      if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return false
      throw error
    }
    try {
      // Mutant: collections/split-twice.
      return loadBuckets(table) === count && this.#divide(parent, bucketWord(table, count), count, bit)
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

  /** Splits a bucket whose lock is held. False, and nothing changed, if there is no memory. */
  #divide(parent: number, child: number, count: number, bit: number): boolean {
    const { memory, buckets } = this.#table
    const { heap, note } = this.#parts
    const { i32 } = memory
    clearBlock(memory, child)
    // atomic: nobody finds it yet.
    storeAtomic32(i32, child + lockField, heap.tags.token)
    if (!this.#copyMoved(parent, child, bit)) return false
    noteSplit(memory, note, { buckets, parent, child, count, bit })
    finishSplit(memory, note, heap.tags)
    this.#prune(parent)
    return true
  }

  /** Copies what is to move. */
  #copyMoved(parent: number, child: number, bit: number): boolean {
    const { i32 } = this.#table.memory
    let into = child
    let used = 0
    // atomic: the lock of the parent is held, and nobody finds the child.
    for (let block = parent; block !== 0; block = loadAtomic32(i32, block + nextField) * 2)
      for (let slot = 0; slot < SLOTS; slot++) {
        // atomic: as above.
        const entry = loadAtomic32(i32, block + slotsField + slot)
        if (entry === 0 || (load32(i32, entry * 2) & bit) === 0) continue
        if (used === SLOTS) {
          into = this.#overflow(into)
          used = 0
          if (into === 0) {
            this.#freeChain(child)
            return false
          }
        }
        copySlot(i32, block, slot, into, used)
        used++
      }
    return true
  }

  /** Another block for the child; 0 if there is none. */
  #overflow(last: number): number {
    const { memory } = this.#table
    try {
      const address = this.#parts.heap.alloc(MapBucket.stride, { align: 64 })
      clearBlock(memory, address / 4)
      // atomic: nobody finds it yet.
      storeAtomic32(memory.i32, last + nextField, address / 8)
      return address / 4
    } catch (error) {
      if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return 0
      throw error
    }
  }
  #freeChain(child: number): void {
    const { i32 } = this.#table.memory
    // atomic: nobody has found it.
    for (let block = loadAtomic32(i32, child + nextField); block !== 0;) {
      // atomic: as above.
      const next = loadAtomic32(i32, block * 2 + nextField)
      this.#parts.heap.free(block * 8)
      block = next
    }
  }
}

/** Copies a slot and its tag to a place that nobody finds yet. */
function copySlot(i32: mem.I32View, from: number, slot: number, to: number, used: number): void {
  // atomic: the lock is held, or nobody finds it.
  const tags = loadAtomic32(i32, from + tagsField + (slot >>> 2))
  const tag = (tags >>> ((slot & 3) * 8)) & 0xff
  const word = to + tagsField + (used >>> 2)
  // atomic: as above.
  storeAtomic32(i32, to + slotsField + used, loadAtomic32(i32, from + slotsField + slot))
  // atomic: as above.
  storeAtomic32(i32, word, loadAtomic32(i32, word) | (tag << ((used & 3) * 8)))
}
