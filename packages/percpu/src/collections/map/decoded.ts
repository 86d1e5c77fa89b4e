/**
 * Values that a thread keeps decoded, by their keys. One that is kept is good as long as its slot
 * names the same entry: entries do not change, and their stamps tell those apart that lie at the
 * same address one after the other. One in the first overflow block of its bucket is good as long
 * as the bucket names that block, too. Others are not kept: their blocks may be used for anything
 * else. Where the map has shrunk, buckets may be, too: then nothing is good any more.
 *
 *     kept        the bucket is there: it is not freed before this thread is quiescent
 *     quiescent   were buckets merged since the last time? Then nothing is kept.
 *     freed       after a grace period that has waited for that
 *
 * So that the map may shrink costs a look-up nothing. A bucket that was merged is emptied, and its
 * slots name nothing, until it is made again, or freed.
 *
 * Why stamps may wrap around. One is taken for another only if a CPU has made exactly 2^24 entries,
 * or a multiple, in between, at the same address, for the same slot.
 *
 * The count of merges wraps around as well. A thread takes it for the same only if there were
 * exactly 2^31 of them, or a multiple, between two of its quiescent states.
 *
 * Cost: a look-up in a Map, an atomic load, and a plain one. In each quiescent state one more load.
 */
import * as mem from '#mem'
import type { GracePeriods } from '../../cpus/grace-period.js'
import type { Life } from '../life.js'
import { stampOf } from './entry.js'
import { use } from './lifetime.js'
import { MapBucket, SLOTS } from './map-layout.js'
import { loadBuckets, loadMerges } from './reader.js'
import { bucketOf, bucketWord, type MapTable } from './table.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { loadAtomic32 } = mem
const { slots, next } = MapBucket.words

interface Kept<V> {
  /** Word index of its slot. */
  readonly slot: number
  /** Of an entry in an overflow block: the word that names the block, and its reference; or 0. */
  readonly link: number
  readonly block: number
  readonly entry: number
  readonly stamp: number
  readonly value: V
}

export class DecodedValues<K, V> {
  readonly #table: MapTable
  readonly #limit: number
  readonly #kept = new Map<K, Kept<V>>()
  /** {@link loadMerges} in the last quiescent state. */
  #merges: number

  constructor(table: MapTable, limit: number) {
    this.#table = table
    this.#limit = limit
    this.#merges = loadMerges(table)
  }

  /** From now on it looks in each quiescent state. To be called before anything is kept. */
  begin(gracePeriods: GracePeriods, life: Life): void {
    const ignore = gracePeriods.onQuiescent(() => {
      // The views of one that was removed in this very state throw.
      if (!life.isRemoved) this.#look()
    })
    life.onEnd(ignore)
  }

  /** Drops what may lie where no bucket is any more. */
  #look(): void {
    const merges = loadMerges(this.#table)
    if (merges === this.#merges) return
    // Mutant: collections/kept-merged.
    this.#kept.clear()
    this.#merges = merges
  }

  /** The value of a key; undefined if it is not known here. */
  get(key: K): V | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    const { i32 } = this.#table.memory
    // atomic: as E in findEntry. First: what is named now is a block until this stretch ends.
    if (kept.link !== 0 && loadAtomic32(i32, kept.link) !== kept.block) return undefined
    // atomic: as C in findEntry.
    if (loadAtomic32(i32, kept.slot) !== kept.entry || stampOf(i32, kept.entry * 2) !== kept.stamp)
      return undefined
    return use(this.#table, kept.entry * 2) ? kept.value : undefined
  }

  /** Keeps what was decoded of an entry that was found in this stretch. */
  keep(key: K, hash: number, entry: number, value: V): void {
    const table = this.#table
    const { i32 } = table.memory
    const bucket = bucketWord(table, bucketOf(loadBuckets(table), hash))
    let slot = slotOf(i32, bucket, entry)
    let link = 0
    let block = 0
    if (slot === 0) {
      link = bucket + next
      // atomic: as E in findEntry.
      block = loadAtomic32(i32, link)
      slot = block === 0 ? 0 : slotOf(i32, block * 2, entry)
    }
    if (slot === 0) return
    // All at once: to tell which are used least would cost more than they do.
    if (this.#kept.size >= this.#limit && !this.#kept.has(key)) this.#kept.clear()
    this.#kept.set(key, { slot, link, block, entry, stamp: stampOf(i32, entry * 2), value })
  }
}

/** Word index of the slot of an entry in a block, or 0. */
function slotOf(i32: mem.I32View, block: number, entry: number): number {
  for (let slot = block + slots; slot < block + slots + SLOTS; slot++) {
    // atomic: as C in findEntry.
    if (loadAtomic32(i32, slot) === entry) return slot
  }
  return 0
}
