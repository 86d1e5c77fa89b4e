/**
 * Blocks of buckets that have no bucket any more, once a map has shrunk. Threads may be in the
 * middle of a look at one still: they had loaded the number of buckets before. So:
 *
 *     seen      no bucket of the block is left
 *     a grace period: who had loaded a larger number has ended by then
 *     unnamed   if the block has had no bucket since, so that nobody has loaded a larger number
 *     freed     after another grace period, as whatever is unnamed
 *
 * What is seen is forgotten if the thread dies. The next one that shrinks the map sees it again.
 *
 * Why the count of times that a block had its first bucket made may wrap around. It is taken for
 * the same only if that happened exactly 2^32 times, or a multiple, in one grace period.
 */
import * as mem from '#mem'
import { queueFree } from '../../rcu/queueing.js'
import type { Life } from '../life.js'
import { endNote, makeChange, noteOld, noteWord } from './notes.js'
import type { WriterParts } from './parts.js'
import { loadBuckets } from './reader.js'
import { blockOf, bucketWord, firstOf, parentOf, type MapTable } from './table.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32 } = mem

/** What a map shrinks with: it may be removed before a grace period is over. */
export interface SpareParts extends WriterParts {
  readonly life: Life
}

export class Spares {
  readonly #table: MapTable
  readonly #parts: SpareParts
  /** A grace period is waited for. */
  #isWaiting = false

  constructor(table: MapTable, parts: SpareParts) {
    this.#table = table
    this.#parts = parts
  }

  /** Sees to it that blocks without buckets are freed. */
  look(): void {
    if (this.#isWaiting) return
    const table = this.#table
    const { i32 } = table.memory
    const block = blockOf(loadBuckets(table) - 1) + 1
    if (this.#last(block) === undefined) return
    // atomic: before the number of buckets is looked at. What is counted later is noticed.
    const entered = loadAtomic32(i32, table.entered + block)
    if (loadBuckets(table) > firstOf(block)) return
    this.#isWaiting = true
    void this.#parts.queueing.callbacks.call(() => {
      this.#isWaiting = false
      if (this.#parts.life.isRemoved) return
      // Each under a lock of its own.
      for (let isFreed = true; isFreed;) isFreed = this.#giveBack(block, entered)
      this.look()
    })
  }

  /** Frees the last block of those from `first` on. False if there is none, or it may be in use. */
  #giveBack(first: number, entered: number): boolean {
    const table = this.#table
    const { lock } = this.#parts
    const count = loadBuckets(table)
    if (!lock.tryLock(bucketWord(table, parentOf(count)))) return false
    try {
      // atomic: with this lock held it stays, and the number of buckets.
      const isSame = loadAtomic32(table.memory.i32, table.entered + first) === entered
      // Mutant: collections/block-freed-in-use.
      if (loadBuckets(table) !== count || !isSame) return false
      const block = this.#last(first)
      if (block === undefined) return false
      this.#free(block)
      return true
    } finally {
      lock.unlock()
    }
  }
  #free(block: number): void {
    const { memory, directory, made } = this.#table
    const { i32 } = memory
    const { note, list, heap, queueing } = this.#parts
    queueing.callbacks.reserve()
    // Before it is gone: locks of the next block in its place are not made. Mutant:
    // collections/block-without-locks.
    store32(i32, made, Math.min(load32(i32, made), firstOf(block)))
    const old = load32(i32, directory + block)
    noteWord(memory, note, directory + block, 0)
    noteOld(memory, note, list, old)
    makeChange(memory, note, heap.tags)
    void queueFree(queueing, old * 8)
    endNote(memory, note)
  }

  /** The last block that there is of those from `first` on, if any. */
  #last(first: number): number | undefined {
    const { memory, directory, blocks } = this.#table
    let end = first
    while (end < blocks && load32(memory.i32, directory + end) !== 0) end++
    return end === first ? undefined : end - 1
  }
}
