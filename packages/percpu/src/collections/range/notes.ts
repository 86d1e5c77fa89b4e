/**
 * Notes: what a CPU is about to do, completely, in words of its own.
 *
 *     prepare ──▶ note ──▶ PUBLISH ──▶ finishPublishing ──▶ FREE ──▶ queue ──▶ 0 ──▶ unlock
 *
 * Before `operation` is set nothing has happened: what is new is in flight, and ends with its
 * thread. Afterwards {@link finishPublishing} does it: the CPU itself, or its reaper, by the same
 * code. All that can be missing was taken before. Each step can be repeated, so it does not matter
 * how far the CPU came. The lock is held until the end, so nobody else has changed anything.
 *
 * What is to be freed was queued if the CPU's list of what is to be freed has become longer since:
 * nobody else queues there.
 *
 * Why plain stores are enough for the note: sync/journal.ts.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import type { Tags } from '../../alloc/tags.js'
import { entryWord } from '../../rcu/callback-list.js'
import { linkOf } from '../../rcu/chains.js'
import { finishQueueing } from '../../rcu/dead.js'
import { CallbackList } from '../../rcu/layouts.js'
import { RangeNote } from './range-layout.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32, store32, storeAtomic32 } = mem
const note = RangeNote.words
const { tail, tailBlock } = CallbackList.words

export const NONE = 0
/** A version is published, with what is new in it, and `old` is freed. */
export const PUBLISH = 1
/** `old` is freed. */
export const FREE = 2

/** What is about to be published; what is new is chained behind the version. */
export interface Publication {
  /** Word index of `current`. */
  readonly word: number
  /** Reference of the version. */
  readonly version: number
  /** Entry of the chain that is to be freed, or 0. */
  readonly old: number
  /** Word index of the CPU's list. */
  readonly list: number
}

/** `at`: word index of the note. */
export function notePublication(
  { i32 }: Memory,
  at: number,
  { word, version, old, list }: Publication,
): void {
  store32(i32, at + note.word, word)
  store32(i32, at + note.value, version)
  store32(i32, at + note.old, old)
  store32(i32, at + note.list, list)
  // atomic: this CPU's own.
  store32(i32, at + note.position, loadAtomic32(i32, list + tail))
  // From here on it happens. Mutant: collections/range-noted-early.
  store32(i32, at + note.operation, PUBLISH)
}

/** Publishes what is noted. `tags`: those of the CPU whose note it is. */
export function finishPublishing(memory: Memory, at: number, tags: Tags): void {
  const { i32 } = memory
  const version = load32(i32, at + note.value)
  // Before others find it. Mutant: collections/range-not-persistent.
  for (let object = version; object !== 0; object = linkOf(memory, object))
    if (tags.isInFlight(object * 8)) tags.persist(object * 8)
  // J(range.current) publishes a version; pairs with K in currentVersion: its words, and those of
  // its nodes, may be read. Mutant: collections/range-by-plain-store.
  storeAtomic32(i32, load32(i32, at + note.word), version)
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
  // Mutant: collections/range-publication-forgotten.
  if (load32(i32, at + note.operation) === PUBLISH) finishPublishing(memory, at, tags)
  if (load32(i32, at + note.operation) !== FREE) return
  const list = load32(i32, at + note.list)
  const position = load32(i32, at + note.position)
  // atomic: the dead CPU's own. Mutant: collections/range-freed-twice.
  if (loadAtomic32(i32, list + tail) === position) {
    // There is room: it was taken before. Mutant: collections/range-free-forgotten.
    store32(i32, entryWord(load32(i32, list + tailBlock), position), load32(i32, at + note.old))
    finishQueueing(memory, list, tags)
  }
  store32(i32, at + note.operation, NONE)
}
