/**
 * Freeing all that a map has, once nobody uses it any more. Each step is noted, as a change of the
 * map is: who goes on after a death finds less.
 */
import * as mem from '#mem'
import { queueFree } from '../../rcu/queueing.js'
import { MapBucket, SLOTS } from './map-layout.js'
import { endNote, makeChange, noteOld, noteWord } from './notes.js'
import type { WriterParts } from './parts.js'
import { loadBuckets } from './reader.js'
import { blockOf, bucketWord, type MapTable } from './table.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadAtomic32 } = mem
const { slots: slotsField, next: nextField } = MapBucket.words
/** Things that are queued to be freed before it waits until they are. */
const AT_ONCE = 4096

/** `settle`: resolves when what was queued to be freed is. */
export async function emptyMap(
  table: MapTable,
  parts: WriterParts,
  settle: () => Promise<void>,
): Promise<void> {
  const { i32 } = table.memory
  let queued = 0
  for (const [word, value] of wordsOf(table)) {
    // Without room, or with much of it in use, the others are freed first.
    if (!parts.queueing.callbacks.reserve() || ++queued % AT_ONCE === 0) await settle()
    // atomic: nobody else writes.
    takeOut(table.memory, parts, word, loadAtomic32(i32, word), value)
  }
  await settle()
}

/** The words that name what is to be freed, with what they are then: its entries before a block. */
function* wordsOf(table: MapTable): Generator<readonly [word: number, value: number]> {
  const { directory, blocks, memory } = table
  const { i32 } = memory
  const buckets = loadBuckets(table)
  for (let index = 0; index < buckets; index++) {
    // Without its block: it was freed by whoever began.
    if (load32(i32, directory + blockOf(index)) === 0) continue
    const bucket = bucketWord(table, index)
    yield* entriesOf(i32, bucket)
    // atomic: nobody else writes.
    for (let block = loadAtomic32(i32, bucket + nextField) * 2; block !== 0;) {
      yield* entriesOf(i32, block)
      // atomic: as above.
      const next = loadAtomic32(i32, block + nextField)
      yield [bucket + nextField, next]
      block = next * 2
    }
  }
  // The first one lies in the map's object.
  for (let block = 1; block < blocks; block++)
    if (load32(i32, directory + block) !== 0) yield [directory + block, 0]
}
function* entriesOf(i32: mem.I32View, block: number): Generator<readonly [word: number, value: number]> {
  for (let slot = block + slotsField; slot < block + slotsField + SLOTS; slot++) {
    // atomic: nobody else writes.
    if (loadAtomic32(i32, slot) !== 0) yield [slot, 0]
  }
}

/** Frees what a word names, after a grace period. */
function takeOut(memory: mem.Memory, parts: WriterParts, word: number, old: number, value: number): void {
  noteWord(memory, parts.note, word, value)
  noteOld(memory, parts.note, parts.list, old)
  makeChange(memory, parts.note, parts.heap.tags)
  void queueFree(parts.queueing, old * 8)
  endNote(memory, parts.note)
}
