/**
 * The software TLB of a space on one thread: translations that it has found, in typed arrays of its
 * own. Direct-mapped; those for writing are apart, so that a hit needs one comparison.
 *
 * A translation is only kept if it cannot change without a round (rounds.ts): the thread forgets
 * those of the round's pages, or all, when it answers it.
 */

import type { Pages } from './shootdown.js'

/** Translations, for reading and for writing each. */
const SIZE = 512

/** What an empty slot has: the number of a page that has another slot. */
const empty = Int32Array.from({ length: SIZE }, (_, slot) => slot ^ 1)

export class Tlb {
  /** A page's slot is its number & this. */
  static readonly mask = SIZE - 1
  /** Numbers of pages, and the word indices at which these begin. */
  readonly readPages = empty.slice()
  readonly readWords = new Int32Array(SIZE)
  readonly writePages = empty.slice()
  readonly writeWords = new Int32Array(SIZE)
  hits = 0
  misses = 0
  flushes = 0
  /** Of some pages only. */
  rangedFlushes = 0
  #isEmpty = true

  /** Keeps a translation. It also serves reading. */
  keep(page: number, word: number, isWrite: boolean): void {
    const slot = page & (SIZE - 1)
    this.#isEmpty = false
    this.readPages[slot] = page
    this.readWords[slot] = word
    if (!isWrite) return
    this.writePages[slot] = page
    this.writeWords[slot] = word
  }

  flush(): void {
    if (this.#isEmpty) return
    this.#isEmpty = true
    this.flushes++
    this.readPages.set(empty)
    this.writePages.set(empty)
  }
  /** Forgets pages [from, to). */
  flushRange({ from, to }: Pages): void {
    if (this.#isEmpty) return
    this.rangedFlushes++
    if (to - from < SIZE) for (let page = from; page < to; page++) this.#forget(page & (SIZE - 1), from, to)
    else for (let slot = 0; slot < SIZE; slot++) this.#forget(slot, from, to)
  }
  #forget(slot: number, from: number, to: number): void {
    const none = slot ^ 1
    const read = this.readPages[slot] ?? none
    if (read >= from && read < to) this.readPages[slot] = none
    const written = this.writePages[slot] ?? none
    if (written >= from && written < to) this.writePages[slot] = none
  }
}
