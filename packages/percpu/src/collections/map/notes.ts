/**
 * Notes: what a CPU is about to do, completely, in words of its own.
 *
 *     prepare ──▶ note ──▶ operation = CHANGE ──▶ finishChange ──▶ FREE ──▶ unlock ──▶ free ──▶ 0
 *
 * Before `operation` is set nothing has happened. Afterwards {@link finishChange} does it: the CPU
 * itself, or its reaper, by the same code. All that can be missing was taken before. Each step can
 * be repeated, so it does not matter how far the CPU came. moves.ts does so with whole buckets.
 *
 * What is to be freed was queued if the CPU's list of what is to be freed has become longer since:
 * nobody else queues there. So the reaper can tell whether to queue it, whatever has become of it.
 *
 * Why plain stores are enough for the note: sync/journal.ts.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Tags } from '../../alloc/tags.js'
import { finishQueueing } from '../../rcu/dead.js'
import { entryWord, IN_BLOCK, isBlockOf } from '../../rcu/callback-list.js'
import { CallbackList } from '../../rcu/layouts.js'
import { MapCpu, MapNote } from './map-layout.js'
import { finishMerge, finishSplit, MERGE, NONE, SPLIT } from './moves.js'

// Copied out of their modules for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32, storeAtomic32 } = mem
const note = MapNote.words
/** From a CPU's count of entries to that of its changes, and to that of units. */
const changes = MapCpu.words.changes - MapCpu.words.entries
const units = MapCpu.words.units - MapCpu.words.entries

/** A word, and what belongs to it, are written. `old` is freed then. */
export const CHANGE = 1
/** `old` is freed. */
export const FREE = 2
/** As {@link CHANGE}, and the units are counted that entries take. */
export const CHANGE_UNITS = 4

/**
 * Begins to note a change: that the word with index `word` becomes `value`. `at`: word index of the
 * note. `fresh`: the reference of what that names, if nobody has found it yet; else 0. The change
 * is noted in parts, so that none of them has to be in an object.
 */
export function noteWord({ i32 }: Memory, at: number, word: number, value: number, fresh = 0): void {
  store32(i32, at + note.word, word)
  store32(i32, at + note.value, value)
  store32(i32, at + note.fresh, fresh)
  store32(i32, at + note.tagWord, 0)
  store32(i32, at + note.countWord, 0)
  store32(i32, at + note.old, 0)
}
/** What the word of tags becomes that goes with it. */
export function noteTags({ i32 }: Memory, at: number, word: number, tags: number): void {
  store32(i32, at + note.tagWord, word)
  store32(i32, at + note.tagValue, tags)
}
/** What the CPU's count of entries becomes. It counts as a change then. */
export function noteCount({ i32 }: Memory, at: number, word: number, count: number): void {
  store32(i32, at + note.countWord, word)
  store32(i32, at + note.countValue, count)
}
/** What the CPU's count of units becomes, beside that of entries: {@link makeCountedChange}. */
export function noteUnits({ i32 }: Memory, at: number, more: number): void {
  const word = load32(i32, at + note.countWord) + units
  store32(i32, at + note.units, (load32(i32, word) + more) | 0)
}
/** What is freed then, by its reference. `list`: word index of the list that it is queued in. */
export function noteOld({ i32 }: Memory, at: number, list: number, old: number): void {
  store32(i32, at + note.old, old)
  store32(i32, at + note.list, list)
  // atomic: this CPU's own.
  store32(i32, at + note.position, loadAtomic32(i32, list + CallbackList.words.tail))
}
/** Makes the change that is noted. `tags`: those of the CPU. */
export function makeChange(memory: Memory, at: number, tags: Tags): void {
  // From here on it happens. Mutant: collections/noted-early.
  store32(memory.i32, at + note.operation, CHANGE)
  finishChange(memory, at, tags)
}

/** As {@link makeChange}, of a map that counts units. */
export function makeCountedChange(memory: Memory, at: number, tags: Tags): void {
  store32(memory.i32, at + note.operation, CHANGE_UNITS)
  finishCounted(memory, at, tags)
}
function finishCounted(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  // Before the rest, which ends with another operation. Mutant: collections/units-forgotten.
  store32(i32, load32(i32, at + note.countWord) + units, load32(i32, at + note.units))
  finishChange(memory, at, tags)
}

/** Does what is noted. `tags`: those of the CPU whose note it is. */
function finishChange(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const fresh = load32(i32, at + note.fresh)
  // Before others find it. Mutant: collections/not-persistent.
  if (fresh !== 0 && tags.isInFlight(fresh * 8)) tags.persist(fresh * 8)
  const value = load32(i32, at + note.value)
  const tagWord = load32(i32, at + note.tagWord)
  const tagValue = load32(i32, at + note.tagValue)
  // atomic: a hint. What is deleted is not looked for any more.
  if (tagWord !== 0 && value === 0) storeAtomic32(i32, tagWord, tagValue)
  // D(bucket.slots) publishes an entry or a block; pairs with C in findEntry, E in findEntry: its
  // words may be read from here on. Mutant: collections/slot-by-plain-store.
  storeAtomic32(i32, load32(i32, at + note.word), value)
  // atomic: a hint. A reader that sees it looks at the slot.
  if (tagWord !== 0 && value !== 0) storeAtomic32(i32, tagWord, tagValue)
  const countWord = load32(i32, at + note.countWord)
  if (countWord !== 0) {
    store32(i32, countWord, load32(i32, at + note.countValue))
    // atomic: the CPU's own. It comes before the look at who watches. Mutant:
    // collections/change-uncounted.
    storeAtomic32(i32, countWord + changes, loadAtomic32(i32, countWord + changes) + 1)
  }
  store32(i32, at + note.operation, load32(i32, at + note.old) === 0 ? NONE : FREE)
}

/** What `old` was has been queued to be freed. */
export function endNote({ i32 }: Memory, at: number): void {
  store32(i32, at + note.operation, NONE)
}

/**
 * For the reaper, after the layers below have examined what the dead CPU left: what is noted
 * happens. `tags`: those of the CPU.
 */
export function finishNote(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const operation = load32(i32, at + note.operation)
  // Mutant: collections/split-forgotten.
  if (operation === SPLIT) finishSplit(memory, at, tags)
  // Mutant: collections/merge-forgotten.
  if (operation === MERGE) finishMerge(memory, at, tags)
  // Mutant: collections/change-forgotten.
  if (operation === CHANGE) finishChange(memory, at, tags)
  if (operation === CHANGE_UNITS) finishCounted(memory, at, tags)
  if (load32(i32, at + note.operation) === FREE) finishFree(memory, at, tags)
}

/** Queues what is to be freed, in the dead CPU's place, unless it has. */
function finishFree(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const list = load32(i32, at + note.list)
  const position = load32(i32, at + note.position)
  // atomic: the dead CPU's own. Mutant: collections/freed-twice.
  if (loadAtomic32(i32, list + CallbackList.words.tail) === position) {
    const block = load32(i32, list + CallbackList.words.tailBlock)
    // There is no room in its last block: the next thread of this CPU frees it.
    if (block === 0 || ((position & IN_BLOCK) === 0 && !isBlockOf(memory, block, position))) return
    // Mutant: collections/free-forgotten.
    store32(i32, entryWord(block, position), load32(i32, at + note.old))
    finishQueueing(memory, list, tags)
  }
  store32(i32, at + note.operation, NONE)
}

/**
 * For the next thread of a dead CPU: the reference of what its predecessor had to free and could
 * not, or 0; and the word index of the list that it is for.
 */
export function leftOver({ i32 }: Memory, at: number): { readonly old: number; readonly list: number } {
  const old = load32(i32, at + note.operation) === FREE ? load32(i32, at + note.old) : 0
  return { old, list: load32(i32, at + note.list) }
}

/** A number that no entry of this CPU had for a long time. */
export function nextStamp({ i32 }: Memory, at: number, cpu: number): number {
  const stamp = (load32(i32, at + note.stamps) + 1) & 0xffffff
  store32(i32, at + note.stamps, stamp)
  return (stamp << 8) | cpu
}
