/**
 * Values that a thread keeps decoded, by their keys. One that is kept is good as long as its slot
 * names the same entry: entries do not change, and their stamps tell those apart that lie at the
 * same address one after the other. Only entries in buckets are kept, not those in overflow blocks:
 * the memory of buckets is never used for anything else.
 *
 * Why stamps may wrap around. One is taken for another only if a CPU has made exactly 2^24 entries,
 * or a multiple, in between, at the same address, for the same slot.
 *
 * Cost: a look-up in a Map, an atomic load, and a plain one.
 */
import * as mem from '#mem'
import { stampOf } from './entry.js'
import { MapBucket, SLOTS } from './map-layout.js'
import { loadBuckets } from './reader.js'
import { bucketOf, bucketWord, type MapTable } from './table.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { slots } = MapBucket.words

interface Kept<V> {
  /** Word index of its slot. */
  readonly slot: number
  readonly entry: number
  readonly stamp: number
  readonly value: V
}

export class DecodedValues<K, V> {
  readonly #table: MapTable
  readonly #limit: number
  readonly #kept = new Map<K, Kept<V>>()

  constructor(table: MapTable, limit: number) {
    this.#table = table
    this.#limit = limit
  }

  /** The value of a key; undefined if it is not known here. */
  get(key: K): V | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    const { i32 } = this.#table.memory
    // atomic: as C in findEntry.
    const isSame = loadAtomic32(i32, kept.slot) === kept.entry && stampOf(i32, kept.entry * 2) === kept.stamp
    return isSame ? kept.value : undefined
  }

  /** Keeps what was decoded of an entry that was found in this stretch. */
  keep(key: K, hash: number, entry: number, value: V): void {
    const { i32 } = this.#table.memory
    const slot = this.#slotOf(hash, entry)
    if (slot === 0) return
    // All at once: to tell which are used least would cost more than they do.
    if (this.#kept.size >= this.#limit && !this.#kept.has(key)) this.#kept.clear()
    this.#kept.set(key, { slot, entry, stamp: stampOf(i32, entry * 2), value })
  }

  /** Word index of the slot of an entry in its bucket, or 0. */
  #slotOf(hash: number, entry: number): number {
    const table = this.#table
    const first = bucketWord(table, bucketOf(loadBuckets(table), hash)) + slots
    for (let slot = first; slot < first + SLOTS; slot++) {
      // atomic: as C in findEntry.
      if (loadAtomic32(table.memory.i32, slot) === entry) return slot
    }
    return 0
  }
}
