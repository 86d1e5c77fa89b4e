/**
 * The redo log: words that are written as a whole, or not at all.
 *
 *     note word after word ──▶ length = so many ──▶ write them ──▶ length = 0
 *
 * Before `length` is set nothing has happened. From then on it has: the CPU writes all words, or
 * its reaper does. Each word is written with its new value, so writing again changes nothing. The
 * lock under which they are written is held until the end, so nobody else has changed any of them.
 *
 * It is the opposite of the undo journal (sync/journal.ts), which takes back. Entries of page
 * tables cannot be taken back: others follow them as soon as they are written.
 *
 * Why plain stores are enough for the log: sync/journal.ts.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { SectionWriter } from '../sync/layer-lock.js'
import { LOG_ENTRIES, PagingNote } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadU32, store32, storeAtomic32, storeU32 } = mem
const { length, words, values } = PagingNote.words

/** In `words`: the word is atomic. Word indices are below it. */
const ATOMIC = 2 ** 31

export class RedoLog implements SectionWriter {
  readonly memory: Memory
  readonly #note: number
  #count = 0
  /** Where words are noted that may be written more than once. */
  readonly #noted = new Map<number, number>()

  /** `note`: word index of the CPU's PagingNote. */
  constructor(memory: Memory, note: number) {
    this.memory = memory
    this.#note = note
  }

  /** Notes a plain word. Each word at most once: see {@link update}. */
  write32(word: number, value: number): void {
    this.#push(word, value)
  }
  /** Notes an atomic word. */
  writeAtomic32(word: number, value: number): void {
    this.#push(word + ATOMIC, value)
  }
  /** Notes a plain word that may have been noted by {@link update} before. */
  update(word: number, value: number): void {
    const index = this.#noted.get(word)
    if (index !== undefined) {
      store32(this.memory.i32, this.#note + values + index, value)
      return
    }
    this.#noted.set(word, this.#count)
    this.#push(word, value)
  }
  /** What a plain word is, or will be by {@link update}. */
  read(word: number): number {
    const { i32 } = this.memory
    const index = this.#noted.get(word)
    return load32(i32, index === undefined ? word : this.#note + values + index)
  }
  /** Writes all that was noted, in the order in which it was. */
  commit(): void {
    // From here on it happens. Mutant: pagetable/log-early.
    storeU32(this.memory.u32, this.#note + length, this.#count)
    this.#forget()
    redo(this.memory, this.#note)
  }
  /**
   * The end of a change, before its lock is released. What was noted and not committed is
   * forgotten: it threw. What was committed is written. Mutant: pagetable/log-unfinished.
   */
  end(): void {
    this.#forget()
    if (loadU32(this.memory.u32, this.#note + length) !== 0) redo(this.memory, this.#note)
  }
  #forget(): void {
    this.#count = 0
    if (this.#noted.size > 0) this.#noted.clear()
  }

  #push(word: number, value: number): void {
    const { u32, i32 } = this.memory
    if (this.#count === LOG_ENTRIES) throw new RangeError(`more than ${LOG_ENTRIES} words in one change`)
    storeU32(u32, this.#note + words + this.#count, word)
    store32(i32, this.#note + values + this.#count, value)
    this.#count++
  }
}

/** Writes what a log says, if it is to be. For its CPU, and for the reaper of that. */
export function redo({ u32, i32 }: Memory, note: number): void {
  const count = loadU32(u32, note + length)
  for (let i = 0; i < count; i++) {
    const word = loadU32(u32, note + words + i)
    const value = load32(i32, note + values + i)
    // A(table.entry) shows walkers an entry; pairs with B in walk: what it leads to is theirs to
    // read. Mutant: pagetable/entry-by-store.
    if (word >= ATOMIC) storeAtomic32(i32, word - ATOMIC, value)
    else store32(i32, word, value)
  }
  storeU32(u32, note + length, 0)
}
