/**
 * Making room in a cache: the clock's hand goes over the slots of all buckets. It takes out what
 * has ended. While there are too many entries, it takes out the first one that nobody has looked up
 * since it came by last. (The CLOCK algorithm: F. J. Corbató, A Paging Experiment with the Multics
 * System, 1968.)
 *
 * The hand is a hint: two writers may move it at once, and go over the same slots.
 *
 * Who puts an entry makes room after it: nothing here throws by then, and an entry that could not
 * be put has cost no other one. What cannot be taken out now is taken out by a later call.
 *
 * Progress: a bucket that another thread has locked is passed over.
 * Cost: at most {@link MOST_BUCKETS} buckets a call, each under its own lock. If all entries of the
 * first ones are in use, the first of these goes all the same. With a capacity in bytes it is so
 * many for each entry that goes, and a look at those on the way that are empty.
 */
import * as mem from '#mem'
import { MapBucket, SLOTS } from './map-layout.js'
import { isLive, wasUsed } from './lifetime.js'
import type { WriterParts } from './parts.js'
import { isEmptyBlock } from './place.js'
import { loadBuckets } from './reader.js'
import { bucketWord, countEntries, countUnits, type MapTable } from './table.js'
import { countEnded } from './tally.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32 } = mem
const { slots: slotsField, next: nextField } = MapBucket.words

/** Buckets that one call looks at, some of them twice. */
const MOST_BUCKETS = 18
/**
 * In the first ones only entries go that are not used: in all of a map of eight, and in the first
 * one again, whose first slots the hand had behind it.
 */
const PATIENT = 9
/** Entries that one call takes out of a map that has too many. */
const AT_ONCE = 2
/** Entries that a CPU puts before it looks for those that have ended; a power of two. */
const SWEEP_EVERY = 4

/** What becomes of an entry: it stays, its time was over, or it makes room. */
const STAYS = 0
const ENDED = 1
const EVICTED = 2

/** Takes the entry in a slot out of a bucket that is locked. */
export type TakeOut = (block: number, slot: number) => void

export class Evictor {
  readonly #table: MapTable
  readonly #parts: WriterParts
  readonly #takeOut: TakeOut
  readonly #prune: (bucket: number) => void
  /** Entries that this thread has put. */
  #puts = 0

  /** `prune`: frees empty overflow blocks of a bucket whose lock is held. */
  constructor(table: MapTable, parts: WriterParts, takeOut: TakeOut, prune: (bucket: number) => void) {
    this.#table = table
    this.#parts = parts
    this.#takeOut = takeOut
    this.#prune = prune
  }

  /** After an entry was put, which stays. `isNew`: it has replaced none. */
  makeRoom(entry: number, isNew: boolean): void {
    const table = this.#table
    const { capacity } = table
    const excess = isNew && capacity !== 0 ? countEntries(table) - capacity : 0
    this.#fresh = entry
    if (table.capacityUnits !== 0) this.#fit()
    if (excess > 0) this.#evict(Math.min(excess, AT_ONCE))
    else if (table.ttl !== 0 && (++this.#puts & (SWEEP_EVERY - 1)) === 0) this.#visit(false)
    this.#fresh = 0
  }

  /** Memory is full: takes out what has ended in some buckets. It is free after a grace period. */
  relieve(): void {
    for (let i = 0; i < MOST_BUCKETS; i++) this.#visit(false)
  }

  /** Takes out so many entries if there are as many; returns how many it was. */
  evict(count: number): number {
    const rest = loadBuckets(this.#table)
    let taken = 0
    for (let left = 2 * rest; left > 0 && taken < count;) {
      const more = this.#visit(true, left <= rest)
      taken += more
      // A visit takes one entry: those whose turn it was have others left, perhaps.
      if (more === 0) left--
      else if (left < rest) left = rest
    }
    return taken
  }

  /** As many entries go as it takes to have no more bytes than there may be. */
  #fit(): void {
    const table = this.#table
    const { memory, hand, capacityUnits } = table
    const most = 2 * loadBuckets(table)
    let first = load32(memory.i32, hand)
    let isTooMuch = countUnits(table) > capacityUnits
    for (let turn = 0, looks = 0; isTooMuch && looks < most; looks++) {
      if (this.#passEmpty()) continue
      // As in #evict, for each of them.
      if (turn === PATIENT) store32(memory.i32, hand, first)
      if (this.#visit(true, turn++ >= PATIENT) === 0) continue
      turn = looks = 0
      first = load32(memory.i32, hand)
      isTooMuch = countUnits(table) > capacityUnits
    }
  }
  /** Moves the hand on if its bucket has no entry: there may be many where small ones were. */
  #passEmpty(): boolean {
    const table = this.#table
    const { i32 } = table.memory
    const buckets = loadBuckets(table)
    const index = Math.floor((load32(i32, table.hand) >>> 0) / SLOTS) % buckets
    const bucket = bucketWord(table, index)
    // atomic: a hint. Whoever puts an entry there makes room itself.
    if (!isEmptyBlock(i32, bucket) || loadAtomic32(i32, bucket + nextField) !== 0) return false
    store32(i32, table.hand, ((index + 1) % buckets) * SLOTS)
    return true
  }
  #evict(count: number): void {
    const { memory, hand } = this.#table
    const first = load32(memory.i32, hand)
    for (let turn = 0; turn < MOST_BUCKETS && count > 0; turn++) {
      // All were in use: those that it came by first go before others.
      if (turn === PATIENT) store32(memory.i32, hand, first)
      count -= this.#visit(true, turn >= PATIENT)
    }
  }

  /**
   * Goes from the hand to the end of its bucket, or to the first entry that is evicted. Returns how
   * many entries it has taken out. `isForced`: an entry that was used is evicted, too.
   */
  #visit(isEvicting: boolean, isForced = false): number {
    const table = this.#table
    const { lock } = this.#parts
    const { i32 } = table.memory
    const buckets = loadBuckets(table)
    const hand = load32(i32, table.hand) >>> 0
    const index = Math.floor(hand / SLOTS) % buckets
    const bucket = bucketWord(table, index)
    store32(i32, table.hand, ((index + 1) % buckets) * SLOTS)
    if (!lock.tryLock(bucket)) return 0
    try {
      const end = this.#sweep(bucket, hand % SLOTS, isEvicting, isForced)
      // The hand stays behind what it has evicted.
      if (end < SLOTS) store32(i32, table.hand, index * SLOTS + end)
      if (this.#taken > 0) this.#prune(bucket)
      return this.#taken
    } finally {
      lock.unlock()
    }
  }

  /** Entries that the last sweep has taken out. */
  #taken = 0
  /** The entry that has just been put; 0: none. */
  #fresh = 0
  /** Returns the slot behind the entry that was evicted from the first block, or {@link SLOTS}. */
  #sweep(bucket: number, first: number, isEvicting: boolean, isForced: boolean): number {
    const table = this.#table
    const { queueing, cpu } = this.#parts
    this.#taken = 0
    for (let block = bucket, slot = first; block !== 0; slot = 0) {
      for (; slot < SLOTS; slot++) {
        // What has ended may have made room enough.
        const kind = this.#kindOf(block, slot, isEvicting && this.#taken === 0, isForced)
        if (kind === STAYS) continue
        queueing.callbacks.reserve()
        this.#takeOut(block, slot)
        countEnded(table, cpu, kind === ENDED)
        this.#taken++
        if (kind === EVICTED) return block === bucket ? slot + 1 : SLOTS
      }
      // atomic: the lock is held.
      block = loadAtomic32(table.memory.i32, block + nextField) * 2
    }
    return SLOTS
  }

  #kindOf(block: number, slot: number, isEvicting: boolean, isForced: boolean): number {
    const table = this.#table
    // atomic: the lock is held.
    const entry = loadAtomic32(table.memory.i32, block + slotsField + slot)
    if (entry === 0) return STAYS
    if (!isLive(table, entry * 2)) return ENDED
    // Mutant: collections/fresh-evicted.
    if (!isEvicting || entry === this.#fresh) return STAYS
    // Mutant: collections/used-evicted.
    return wasUsed(table, entry * 2) && !isForced ? STAYS : EVICTED
  }
}
