/**
 * Writing: one entry is put, replaced or taken away, under the lock of its bucket.
 *
 * Progress: blocking; writers of different buckets do not wait for each other. The lock of a thread
 * that died is free as soon as that was cleaned up after.
 */
import * as mem from '#mem'
import { OutOfMemoryError } from '../../machine/errors.js'
import { queueFree } from '../../rcu/queueing.js'
import { ensureStack, MANY, SOME } from '../../stack.js'
import { EntryTooLargeError } from '../errors.js'
import { entryWords, fillEntry, stampOf } from './entry.js'
import { Evictor } from './evict.js'
import { tagOf } from './hash.js'
import { endAfter, isLive, LIFE_WORDS, writeLife } from './lifetime.js'
import { MapBucket, MapCpu } from './map-layout.js'
import {
  endNote,
  makeChange,
  makeCountedChange,
  nextStamp,
  noteCount,
  noteOld,
  noteTags,
  noteUnits,
  noteWord,
} from './notes.js'
import { isEmptyBlock, Place } from './place.js'
import { loadBuckets } from './reader.js'
import { Merger } from './merge.js'
import { clearBlock } from './parts.js'
import type { Scratch } from '../scratch.js'
import type { SpareParts } from './spares.js'
import { Splitter } from './split.js'
import { bucketOf, bucketWord, type MapTable } from './table.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32 } = mem
const { next: nextField } = MapBucket.words

/** The entry that there must be: its reference, 0 for none, and its stamp. */
export interface Expected {
  readonly entry: number
  readonly stamp: number
}

export class MapWriter {
  readonly #table: MapTable
  readonly #parts: SpareParts
  readonly #place = new Place()
  readonly #splitter: Splitter
  readonly #merger: Merger
  /** Of a map that takes entries out by itself. */
  readonly #evictor: Evictor | undefined
  /** Word index of this CPU's count. */
  readonly #count: number

  constructor(table: MapTable, parts: SpareParts) {
    this.#table = table
    this.#parts = parts
    const takeOut = (block: number, slot: number): void => {
      this.#place.at(table.memory.i32, block, slot)
      this.#takeOut()
      this.#free(this.#place.entry)
      parts.ringer.wakeAll(table.watchers)
    }
    const prune = (bucket: number): void => this.#prune(bucket)
    this.#splitter = new Splitter(table, parts, prune)
    this.#merger = new Merger(table, parts, prune)
    if (table.isCache) this.#evictor = new Evictor(table, parts, takeOut, prune)
    this.#count = table.counts + (parts.cpu * MapCpu.stride) / 4 + MapCpu.words.entries
  }

  /**
   * Puts an entry that lives for `ttl` ms, or replaces that of the same key. False, and nothing
   * changed, if there is not what is expected.
   *
   * @throws OutOfMemoryError; LockTimeoutError. Nothing is changed then.
   */
  put(key: Scratch, hash: number, value: Scratch, ttl: number, expected?: Expected): boolean {
    ensureStack(this.#evictor === undefined ? SOME : MANY)
    // First: what it throws, it throws before anything has changed.
    this.#splitter.makeRoom()
    if (this.#evictor !== undefined) this.#merger.makeLess()
    const { memory } = this.#table
    const address = this.#make(key, hash, value, ttl)
    const place = this.#place
    for (;;) {
      this.#lock(hash, address)
      place.search(memory.i32, this.#bucket, key, hash)
      if (expected !== undefined && !this.#isExpected(expected)) {
        this.#parts.lock.unlock()
        this.#parts.heap.free(address)
        return false
      }
      if (place.slot !== 0) break
      this.#parts.lock.unlock()
      this.#extend(key, hash, address)
    }
    const { note, list, queueing } = this.#parts
    const fresh = address / 8
    const old = place.entry
    noteWord(memory, note, place.slot, fresh, fresh)
    if (old === 0) noteTags(memory, note, place.tagWord, place.tagsWith(memory.i32, tagOf(hash)))
    else {
      queueing.callbacks.reserve()
      noteOld(memory, note, list, old)
    }
    this.#change(old === 0 ? 1 : 0, fresh, old)
    this.#parts.lock.unlock()
    if (old !== 0) this.#free(old)
    // Mutant: collections/change-silent.
    this.#parts.ringer.wakeAll(this.#table.watchers)
    // Mutant: collections/never-evicted.
    this.#evictor?.makeRoom(fresh, old === 0)
    return true
  }

  /** A new entry that nobody finds yet; returns its address. @throws OutOfMemoryError. */
  #make(key: Scratch, hash: number, value: Scratch, ttl: number): number {
    const table = this.#table
    const { memory, pad, isCache } = table
    const { note, cpu } = this.#parts
    const words = entryWords(key.length, value.length, pad)
    const address = this.#alloc((words + (isCache ? LIFE_WORDS : 0)) * 4)
    this.#checkUnits(address)
    fillEntry(memory, address / 4, key, hash, nextStamp(memory, note, cpu), value, pad)
    if (isCache) writeLife(memory, address / 4 + words, endAfter(table, ttl))
    return address
  }

  /** An entry that is larger than all of the map is not made. @throws EntryTooLargeError. */
  #checkUnits(address: number): void {
    const { capacityUnits } = this.#table
    if (capacityUnits === 0) return
    const units = this.#unitsOf(address / 8)
    if (units <= capacityUnits) return
    this.#parts.heap.free(address)
    throw new EntryTooLargeError(
      `an entry of ${units * 8} bytes is larger than the map's capacity of ${capacityUnits * 8}`,
      { bytes: units * 8, limit: capacityUnits * 8 },
    )
  }

  /** Without memory what has ended is taken out, for later calls. @throws OutOfMemoryError. */
  #alloc(bytes: number): number {
    try {
      return this.#parts.heap.alloc(bytes)
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error
      this.#evictor?.relieve()
      throw new OutOfMemoryError(
        `no room for an entry of ${bytes} bytes: what was replaced, deleted or evicted is free once each thread has ` +
          'returned to its event loop (await map.barrier()); or boot with more `memory`',
        { ...error.details, bytes },
        { cause: error },
      )
    }
  }

  /**
   * Takes the entry of a key away. False if there is none that lives, or, with nothing changed, not
   * what is expected.
   *
   * @throws LockTimeoutError. Nothing is changed then.
   */
  remove(key: Scratch, hash: number, expected?: Expected): boolean {
    ensureStack(SOME)
    // First: what it throws, it throws before anything has changed.
    this.#merger.makeLess()
    const { i32 } = this.#table.memory
    const place = this.#place
    this.#lock(hash, 0)
    place.search(i32, this.#bucket, key, hash)
    if (place.entry === 0 || (expected !== undefined && !this.#isExpected(expected))) {
      this.#parts.lock.unlock()
      return false
    }
    this.#parts.queueing.callbacks.reserve()
    // atomic: only the holder of the lock changes it.
    const hasOverflow = loadAtomic32(i32, this.#bucket + nextField) !== 0
    const wasThere = expected !== undefined || isLive(this.#table, place.entry * 2)
    this.#takeOut()
    this.#parts.lock.unlock()
    this.#free(place.entry)
    this.#parts.ringer.wakeAll(this.#table.watchers)
    // It is deleted by now: nothing may fail. Who has the lock leaves an empty block to the next.
    if (hasOverflow && this.#parts.lock.tryLock(this.#bucket)) {
      this.#prune(this.#bucket)
      this.#parts.lock.unlock()
    }
    return wasThere
  }
  /** Takes so many entries out of a cache if there are as many; returns how many it was. */
  evict(count: number): number {
    ensureStack(MANY)
    return this.#evictor?.evict(count) ?? 0
  }
  /** Takes the entry at the place out of its bucket, which is locked. It is to be freed then. */
  #takeOut(): void {
    const place = this.#place
    const { memory } = this.#table
    const { note, list } = this.#parts
    noteWord(memory, note, place.slot, 0)
    noteTags(memory, note, place.tagWord, place.tagsWith(memory.i32, 0))
    noteOld(memory, note, list, place.entry)
    this.#change(-1, 0, place.entry)
    this.#merger.removed()
  }
  /** Makes the change that is noted, with so many entries more: `fresh` in the place of `old`. */
  #change(more: number, fresh: number, old: number): void {
    const { memory, capacityUnits } = this.#table
    const { note, heap } = this.#parts
    noteCount(memory, note, this.#count, load32(memory.i32, this.#count) + more)
    if (capacityUnits === 0) {
      makeChange(memory, note, heap.tags)
      return
    }
    noteUnits(memory, note, this.#unitsOf(fresh) - this.#unitsOf(old))
    makeCountedChange(memory, note, heap.tags)
  }
  /** Units of 8 bytes that an entry takes, by its reference; 0 has none. */
  #unitsOf(entry: number): number {
    return entry === 0 ? 0 : this.#parts.heap.tags.bytesOf(entry * 8) >>> 3
  }

  /** Makes room for so many entries, without waiting until they are there. */
  reserve(entries: number): void {
    ensureStack(SOME)
    const { capacity } = this.#table
    this.#splitter.reserve(capacity === 0 ? entries : Math.min(entries, capacity))
  }

  #isExpected({ entry, stamp }: Expected): boolean {
    const found = this.#place.entry
    return found === entry && (found === 0 || stampOf(this.#table.memory.i32, found * 2) === stamp)
  }

  /** Word index of the bucket that is locked. */
  #bucket = 0
  /** Locks the bucket of a hash. If that fails, what is at `address` is freed. */
  #lock(hash: number, address: number): void {
    const table = this.#table
    const { lock } = this.#parts
    for (;;) {
      const index = bucketOf(loadBuckets(table), hash)
      const bucket = bucketWord(table, index)
      if (!lock.tryLock(bucket)) this.#wait(bucket, address)
      this.#bucket = bucket
      // It may have been split or merged meanwhile. Mutant: collections/locked-the-old.
      if (bucketOf(loadBuckets(table), hash) === index) return
      lock.unlock()
    }
  }
  #wait(bucket: number, address: number): void {
    try {
      this.#parts.lock.lock(bucket)
    } catch (error) {
      if (address !== 0) this.#parts.heap.free(address)
      throw error
    }
  }

  #free(reference: number): void {
    void queueFree(this.#parts.queueing, reference * 8)
    endNote(this.#table.memory, this.#parts.note)
  }

  /** Gives the bucket of a hash an overflow block, unless there is room meanwhile. */
  #extend(key: Scratch, hash: number, address: number): void {
    const { heap, note, lock } = this.#parts
    const { memory } = this.#table
    let block: number
    try {
      block = heap.alloc(MapBucket.stride, { align: 64 })
    } catch (error) {
      heap.free(address)
      throw error
    }
    clearBlock(memory, block / 4)
    try {
      this.#lock(hash, address)
    } catch (error) {
      heap.free(block)
      throw error
    }
    const place = this.#place
    place.search(memory.i32, this.#bucket, key, hash)
    const isWanted = place.slot === 0
    if (isWanted) {
      noteWord(memory, note, place.last + nextField, block / 8, block / 8)
      makeChange(memory, note, heap.tags)
    }
    lock.unlock()
    if (!isWanted) heap.free(block)
  }

  /** Frees the overflow blocks of a bucket that have no entry. Its lock is held. */
  #prune(bucket: number): void {
    const { note, list, heap } = this.#parts
    const { memory } = this.#table
    const { i32 } = memory
    // atomic: only the holder of the lock changes these.
    for (let before = bucket, block = next(i32, bucket); block !== 0; block = next(i32, before)) {
      if (!isEmptyBlock(i32, block)) {
        before = block
        continue
      }
      this.#parts.queueing.callbacks.reserve()
      // Who is looking there goes on: it keeps its link.
      noteWord(memory, note, before + nextField, next(i32, block) / 2)
      noteOld(memory, note, list, block / 2)
      makeChange(memory, note, heap.tags)
      this.#free(block / 2)
    }
  }
}

/** Word index of the next block, or 0. */
function next(i32: mem.I32View, block: number): number {
  // atomic: the bucket's lock is held.
  return loadAtomic32(i32, block + nextField) * 2
}
