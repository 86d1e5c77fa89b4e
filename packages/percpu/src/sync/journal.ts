/**
 * The undo journal. With it a change of several words under a lock happens as a whole or not at
 * all, also if its thread is killed.
 *
 *     record of the CPU:   length │ entry │ entry │ …
 *
 *     an entry             word                   old
 *     of a word            its index              its value before
 *     of a part of one     its index + 2^31       the value before, 16 bits; its offset; its width
 *     behind a word's      its index + 2^31       a mark: the word is atomic
 *
 * A change records the value before, counts the entry, and writes, in this order. The end of the
 * outermost section sets the length to 0: from that one store on, the changes are there to stay.
 * Going back, after an exception or by the reaper, restores the entries from the last to the first.
 * So a word changed twice gets its first value. Each entry is taken off the length after it was
 * restored, so that going back can be repeated from any point.
 *
 * A field of 8 or 16 bits is recorded and restored at its own width. The other bytes of its word
 * may belong to others, who write them meanwhile.
 *
 * Why plain stores are enough. The journal is read by its own thread, or by the reaper after the
 * thread has ended. A thread is ended by an exception that it throws itself, at a check between two
 * steps of its program (a call, a loop's end). By then the engine must have done all stores before
 * the check, and none from behind it, as for any exception. The end of a thread happens before its
 * `exit` event, so the reaper sees those stores. Where a thread is stopped in the middle of
 * anything else, its whole process goes, and the memory with it.
 *
 * The lock is released after the reaper has replayed the journal: nobody else looks at plain words
 * meanwhile. Atomic words are for the sections of layers only (layer-lock.ts). Others may look at
 * them at any time, and so see what is taken back later.
 *
 * Progress: wait-free.
 * Cost: about 2 ns a word over the bare store; see "sync" in docs/benchmarks.md. Not undone:
 * changes made without the journal, and a user's atomic words (publish those after the section).
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import { JournalFullError } from './errors.js'
import { JournalEntry } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, loadU16, loadU32, loadU8, store32, storeAtomic32 } = mem
const { storeF64, storeU16, storeU32, storeU64, storeU8 } = mem
const entryWords = JournalEntry.stride / 4
const { old } = JournalEntry.words

/** Added to the `word` of an entry of a part: indices are below it. */
const PART = 2 ** 31
/** In its `old`: the offset in the word, in bytes, and whether the part has 16 bits. */
const OFFSET_SHIFT = 16
const WIDE = 1 << 18
/** In its `old`: the entry before it is of an atomic word. */
const ATOMIC = 1 << 19

/**
 * The place of a journal. A CPU has one for the sections of its users, and one for each layer lock
 * (layer-lock.ts).
 */
export interface JournalLocation {
  /** Word indices: of the number of entries in use, and of the first entry. */
  readonly length: number
  readonly first: number
  readonly capacity: number
}

/**
 * Records the value at an index, which is the address in units of the width. The index is the
 * caller's to check.
 *
 * @throws JournalFullError when there is no entry left.
 */
type Recorder = (index: number) => void

export class Journal {
  /** A byte; the index is its address. */
  readonly record8: Recorder
  /** The index is the address / 2. */
  readonly record16: Recorder
  /** The index is the address / 4. */
  readonly record32: Recorder
  /** The index is the address / 8; takes two entries. */
  readonly record64: Recorder
  /**
   * Records and writes the 32-bit word with this index (address / 4).
   *
   * @throws JournalFullError when there is no entry left; ArgumentError outside the memory
   *   and in its header page.
   */
  readonly write32: (word: number, value: number) => void
  readonly memory: Memory
  readonly capacity: number
  readonly #lengthWord: number
  readonly #first: number
  /** Index of the first word behind the header page, which no section may change. */
  readonly #firstWord: number
  /** Index of the memory's last word: fits a small integer, which a count of 2^31 would not. */
  readonly #lastWord: number

  constructor(memory: Memory, location: JournalLocation) {
    this.memory = memory
    this.capacity = location.capacity
    this.#lengthWord = location.length
    this.#first = location.first
    this.#firstWord = memory.reserved / 4
    this.#lastWord = memory.byteLength / 4 - 1
    this.record8 = makeRecord8(memory, location)
    this.record16 = makeRecord16(memory, location)
    this.record32 = makeRecord32(memory, location)
    this.record64 = makeRecord64(memory, location)
    this.write32 = makeWrite32(memory, this.record32, this.#firstWord, this.#lastWord)
  }

  /** Entries in use since the outermost section began. */
  get length(): number {
    return load32(this.memory.i32, this.#lengthWord)
  }

  /** Makes all changes stay, by one store. */
  commit(): void {
    store32(this.memory.i32, this.#lengthWord, 0)
  }

  /** Takes back what was changed after the length was `mark`. */
  rollback(mark: number): void {
    replay(this.memory, this.#lengthWord, this.#first, mark)
  }

  /**
   * Records and writes the 64-bit float with this index (address / 8); takes two entries.
   *
   * @throws JournalFullError when there are no two entries left; ArgumentError outside the memory
   *   and in its header page.
   */
  writeF64(index: number, value: number): void {
    this.#check64(index)
    this.record64(index)
    storeF64(this.memory.f64, index, value)
  }

  /**
   * Records and writes the 64-bit integer with this index (address / 8); takes two entries.
   *
   * @throws JournalFullError when there are no two entries left; ArgumentError outside the memory
   *   and in its header page.
   */
  writeU64(index: number, value: bigint): void {
    this.#check64(index)
    this.record64(index)
    storeU64(this.memory.u64, index, value)
  }

  /**
   * Records and writes the atomic word with this index (address / 4); takes two entries.
   *
   * @throws JournalFullError when there are no two entries left.
   */
  writeAtomic32(word: number, value: number): void {
    const { i32, u32 } = this.memory
    const { length } = this
    if (length + 1 >= this.capacity) throw full(this.capacity)
    const entry = this.#first + length * entryWords
    storeU32(u32, entry, word)
    // atomic: nobody else writes it while this CPU has the lock.
    store32(i32, entry + old, loadAtomic32(i32, word))
    storeU32(u32, entry + entryWords, word + PART)
    store32(i32, entry + entryWords + old, ATOMIC)
    // Both count before the word changes. Mutant: sync/atomic-before-entry.
    store32(i32, this.#lengthWord, length + 2)
    // atomic: what it says is true from the commit of the section on.
    storeAtomic32(i32, word, value)
  }

  #check64(index: number): void {
    if (typeof index !== 'number' || (index | 0) !== index) throw badIndex(index, 8)
    if (index * 2 < this.#firstWord || index * 2 >= this.#lastWord) throw badIndex(index, 8)
  }
}

// Closures: an engine keeps what they close over at hand. It would load the fields of an object
// anew after each store.

function makeRecord32({ i32 }: Memory, { length: lengthWord, first, capacity }: JournalLocation): Recorder {
  return (word) => {
    const length = load32(i32, lengthWord)
    if (length >= capacity) throw full(capacity)
    const entry = first + length * entryWords
    store32(i32, entry, word)
    store32(i32, entry + old, load32(i32, word))
    // From here on the entry counts; the word still has its old value. Mutant: sync/journal-off.
    store32(i32, lengthWord, length + 1)
  }
}

function makeWrite32(
  { i32 }: Memory,
  record: Recorder,
  firstWord: number,
  lastWord: number,
): Journal['write32'] {
  return (word, value) => {
    if (typeof word !== 'number' || (word | 0) !== word || word < firstWord || word > lastWord)
      throw badIndex(word, 4)
    // First, or a kill in between would leave the change for good. Mutant: sync/word-before-entry.
    record(word)
    store32(i32, word, value)
  }
}

function makeRecord8({ bytes, i32, u32 }: Memory, location: JournalLocation): Recorder {
  const { length: lengthWord, first, capacity } = location
  return (address) => {
    const length = load32(i32, lengthWord)
    if (length >= capacity) throw full(capacity)
    const entry = first + length * entryWords
    const offset = address & 3
    storeU32(u32, entry, (address - offset) / 4 + PART)
    store32(i32, entry + old, loadU8(bytes, address) | (offset << OFFSET_SHIFT))
    store32(i32, lengthWord, length + 1)
  }
}

function makeRecord16({ u16, i32, u32 }: Memory, location: JournalLocation): Recorder {
  const { length: lengthWord, first, capacity } = location
  return (index) => {
    const length = load32(i32, lengthWord)
    if (length >= capacity) throw full(capacity)
    const entry = first + length * entryWords
    storeU32(u32, entry, (index >>> 1) + PART)
    store32(i32, entry + old, loadU16(u16, index) | ((index & 1) << (OFFSET_SHIFT + 1)) | WIDE)
    store32(i32, lengthWord, length + 1)
  }
}

function makeRecord64({ i32 }: Memory, { length: lengthWord, first, capacity }: JournalLocation): Recorder {
  return (index) => {
    const length = load32(i32, lengthWord)
    if (length + 1 >= capacity) throw full(capacity)
    const entry = first + length * entryWords
    const word = index * 2
    store32(i32, entry, word)
    store32(i32, entry + old, load32(i32, word))
    store32(i32, entry + entryWords, word + 1)
    store32(i32, entry + entryWords + old, load32(i32, word + 1))
    store32(i32, lengthWord, length + 2)
  }
}

function full(capacity: number): JournalFullError {
  return new JournalFullError(
    `the section writes more often than its journal has entries, ${capacity}; a write of 64 bits takes two: ` +
      'write less in one section, or boot with a larger `journal`',
    { capacity },
  )
}

function badIndex(index: number, unit: number): ArgumentError {
  return new ArgumentError(
    `there is no word with index ${shown(index)} in this memory behind its header page: the index is the address / ${unit}`,
    { index },
  )
}

/**
 * For the reaper: takes back all that the dead CPU had not committed; returns the number of
 * entries. It can be repeated.
 */
export function replayJournal(memory: Memory, location: Pick<JournalLocation, 'length' | 'first'>): number {
  const length = loadU32(memory.u32, location.length)
  replay(memory, location.length, location.first, 0)
  return length
}

function replay(memory: Memory, lengthWord: number, first: number, mark: number): void {
  const { i32, u32 } = memory
  for (let i = loadU32(u32, lengthWord) - 1; i >= mark; i--) {
    const entry = first + i * entryWords
    const word = loadU32(u32, entry)
    const before = load32(i32, entry + old)
    if (word >= PART && (before & ATOMIC) !== 0) {
      // atomic: as it was written. Mutant: sync/atomic-kept.
      storeAtomic32(i32, word - PART, load32(i32, entry - entryWords + old))
      i--
    } else restore(memory, word, before)
    // After the word was restored: to restore it once more does no harm. Mutants:
    // sync/replay-counts-first, sync/replay-forwards.
    storeU32(u32, lengthWord, i)
  }
}

function restore({ bytes, u16, i32 }: Memory, word: number, before: number): void {
  if (word < PART) return store32(i32, word, before)
  const offset = (before >>> OFFSET_SHIFT) & 3
  // Only its own bytes. Mutant: sync/part-restores-word.
  if ((before & WIDE) !== 0) storeU16(u16, (word - PART) * 2 + offset / 2, before & 0xffff)
  else storeU8(bytes, (word - PART) * 4 + offset, before & 0xff)
}
