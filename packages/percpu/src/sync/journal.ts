/**
 * The undo journal: what makes a change of several words under a lock happen as a whole or not at all, also when its thread is
 * killed in the middle.
 *
 *     record of the CPU:   length │ word, old │ word, old │ …
 *
 * Each change first records the word's index and its old value, then counts the entry, then writes the word: three steps in
 * this order. The end of the outermost section sets the length to 0: from that one store on the changes are there to stay. Going
 * back, after an exception or by the reaper, restores the entries from the last to the first (a word changed twice gets its
 * first value), and takes each off the length after its word was restored; so it can be repeated from any point.
 *
 * Why plain stores are enough. The journal is read by its own thread, or by the reaper after the thread has ended. A thread is
 * ended by an exception that it throws itself, at a check between two steps of its program (a call, a loop's end); the
 * engine must have done all stores before the check by then, and none from behind it, as for any exception. And its end
 * happens before its `exit` event, so the reaper sees those stores. Where a thread is stopped in the middle of anything else, its
 * whole process goes, and the memory with it.
 *
 * The words that it restores are of kind locked (plain), and the lock is released only after the reaper has replayed the
 * journal: nobody else looks at them meanwhile.
 * Progress: wait-free. Cost: about 2 ns a word over the bare store; see "sync" in docs/benchmarks.md.
 * What it does not do: undo changes made without it, or atomic words (publish those after the section).
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ArgumentError } from '../errors.js'
import { JournalFullError, SectionError } from './errors.js'
import { JournalEntry } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadU32, loadU64, store32, storeF64, storeU32, storeU64 } = mem
const entryWords = JournalEntry.stride / 4
const { old } = JournalEntry.words

/** Where the journal of a CPU is; a CPU has one for the sections of its users, and one for each level of layers (layer-lock.ts). */
export interface JournalLocation {
  /** Word indices: of the number of entries in use, and of the first entry. */
  readonly length: number
  readonly first: number
  readonly capacity: number
}

/** Writes one word so that it is taken back unless the section is committed. */
type Write32 = (word: number, value: number) => void

export class Journal {
  /** Writes the 32-bit word with this index. */
  readonly write32: Write32
  readonly capacity: number
  readonly #memory: Memory
  readonly #lengthWord: number
  readonly #first: number
  /** Index of the memory's last word: fits a small integer, which a count of 2^31 would not. */
  readonly #lastWord: number

  /** One without capacity stands for "no section is open". */
  constructor(memory: Memory, { length, first, capacity }: JournalLocation) {
    this.#memory = memory
    this.capacity = capacity
    this.#lengthWord = length
    this.#first = first
    this.#lastWord = memory.byteLength / 4 - 1
    this.write32 = capacity === 0 ? (word) => this.#refuse(word, 1) : this.#makeWrite32()
  }

  /** Words changed since the outermost section began. */
  get length(): number {
    return load32(this.#memory.i32, this.#lengthWord)
  }

  /** Makes all changes stay, by one store. */
  commit(): void {
    store32(this.#memory.i32, this.#lengthWord, 0)
  }

  /** Takes back what was changed after the length was `mark`. */
  rollback(mark: number): void {
    replay(this.#memory, this.#lengthWord, this.#first, mark)
  }

  /** A closure over what it needs: an engine keeps that at hand, where it would load fields of an object anew after each store. */
  #makeWrite32(): Write32 {
    const { i32 } = this.#memory
    const { capacity } = this
    const lengthWord = this.#lengthWord
    const first = this.#first
    const lastWord = this.#lastWord
    return (word, value) => {
      const length = load32(i32, lengthWord)
      if (length >= capacity || (word | 0) !== word || word < 0 || word > lastWord) this.#refuse(word, 1)
      const entry = first + length * entryWords
      store32(i32, entry, word)
      store32(i32, entry + old, load32(i32, word))
      // From here on the entry counts; the word still has its old value. Mutants: sync/word-before-entry,
      // sync/journal-off.
      store32(i32, lengthWord, length + 1)
      store32(i32, word, value)
    }
  }

  /** Writes the 64-bit float with this index (address / 8); takes two entries. */
  writeF64(index: number, value: number): void {
    this.#record64(index)
    storeF64(this.#memory.f64, index, value)
  }

  /** Writes the 64-bit integer with this index (address / 8); takes two entries. */
  writeU64(index: number, value: bigint): void {
    this.#record64(index)
    storeU64(this.#memory.u64, index, value)
  }

  #record64(index: number): void {
    const { length } = this
    const word = index * 2
    if (
      length + 1 >= this.capacity ||
      (word | 0) !== word ||
      word < 0 ||
      word > this.#lastWord ||
      (word & 1) === 1
    )
      this.#refuse(word, 2)
    const { i32, u64 } = this.#memory
    const entry = this.#first + length * entryWords
    const value = loadU64(u64, index)
    store32(i32, entry, word)
    store32(i32, entry + old, Number(BigInt.asIntN(32, value)))
    store32(i32, entry + entryWords, word + 1)
    store32(i32, entry + entryWords + old, Number(BigInt.asIntN(32, value >> 32n)))
    store32(i32, this.#lengthWord, length + 2)
  }

  #refuse(word: number, entries: number): never {
    if (this.capacity === 0)
      throw new SectionError('no section is open: its changes were committed or taken back')
    if ((word | 0) !== word || word < 0 || word > this.#lastWord || (entries === 2 && (word & 1) === 1)) {
      throw new ArgumentError(
        `there is no word with index ${word / entries} in this memory (address / ${4 * entries})`,
        { index: word / entries },
      )
    }
    throw new JournalFullError(
      `the section writes more than the journal's ${this.capacity} words, each write counted, 64-bit ones twice: write fewer in one section, or boot with a larger \`journal\``,
      { word, entries, capacity: this.capacity },
    )
  }
}

/** For the reaper: takes back all that the dead CPU had not committed. Returns how many words. Can be repeated. */
export function replayJournal(memory: Memory, location: Pick<JournalLocation, 'length' | 'first'>): number {
  const length = loadU32(memory.u32, location.length)
  replay(memory, location.length, location.first, 0)
  return length
}

function replay(memory: Memory, lengthWord: number, first: number, mark: number): void {
  const { i32, u32 } = memory
  for (let i = loadU32(u32, lengthWord) - 1; i >= mark; i--) {
    const entry = first + i * entryWords
    store32(i32, loadU32(u32, entry), load32(i32, entry + old))
    // Taken off after its word was restored; restoring it once more would do no harm. Mutants:
    // sync/replay-counts-first, sync/replay-forwards.
    storeU32(u32, lengthWord, i)
  }
}
