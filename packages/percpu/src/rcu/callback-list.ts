/**
 * What is to be freed after a grace period: a queue in shared memory, which survives its thread.
 *
 *     tail       the CPU's end: it queues, without a lock
 *     head       the other end: whoever has the list's lock frees what is due, usually the CPU
 *     position   number of a word, counted through all blocks; the first words of a block hold no
 *                entry
 *
 *     first ──▶ block ──next──▶ block ──next──▶ block
 *                 ▲ headBlock     (freed)          ▲ tailBlock
 *
 * Rules. Before `tail`, entries are whole, and what they name is persistent. Of the words of the
 * CPU's end only the CPU writes any, or its reaper. The words of the other end are written under
 * the list's lock, which nobody waits for: if somebody has it, that one frees what is due.
 *
 * Exactly once, whoever is killed, and wherever. Plain stores, in this order:
 *
 *     queue   entry, then the tag says queued, then tail
 *             killed after the first: the reaper does the rest, as the next entry is not 0
 *     free    the tag says in flight with the runner, then head, then it is given back
 *             killed after the first: the reaper moves head on; the heap frees what was in flight
 *     per-CPU memory is freed and its entry cleared in one step (percpu/free.ts), then head
 *             killed between: the entry is 0, and is passed over
 *
 * So the tag of the entry at head tells who is answerable for it: the list, or a dead runner. The
 * reaper looks before the heap frees anything (dead.ts). Blocks go the same way: a new one is
 * linked while it is in flight, an old one is in flight before `headBlock` leaves it.
 *
 * Why positions may wrap around. They are compared for equality, or by their distance, which is the
 * number of words pending: below 2^31 as there is no room for more.
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { BLOCK_HEAD, BLOCK_WORDS, CallbackBlock, CallbackList } from './layouts.js'

const { words } = CallbackList
/** Of a position: the word within its block. */
export const IN_BLOCK = BLOCK_WORDS - 1
/** Lists begin four blocks before their positions wrap around, so that they often do. */
export const FIRST_POSITION = -4 * BLOCK_WORDS

/** By whoever makes a list, before others find it: its words are 0. `list`: word index. */
export function initialiseList({ i32 }: Memory, list: number): void {
  const { tail, functionsTail, functionsHead, passed } = words
  // atomic: nobody else has it yet.
  for (const word of [tail, functionsTail, functionsHead, passed])
    mem.storeAtomic32(i32, list + word, FIRST_POSITION)
  const { functionsRun, head, done, wait, nextReady } = words
  for (const word of [functionsRun, head, done, wait, nextReady]) mem.store32(i32, list + word, FIRST_POSITION)
}

/** Word index of the link to the block behind one; `block` 0: to the first one. */
export function linkWord(list: number, block: number): number {
  return block === 0 ? list + words.first : block * 2 + CallbackBlock.words.next
}
/** Whether the block is the one of a position at a block's first word. */
export function isBlockOf({ i32 }: Memory, block: number, position: number): boolean {
  return block !== 0 && mem.load32(i32, block * 2 + CallbackBlock.words.base) === position
}
/** Word index of the entry at a position, and the position behind it. */
export function entryWord(block: number, position: number): number {
  const slot = position & IN_BLOCK
  return block * 2 + (slot === 0 ? BLOCK_HEAD : slot)
}
export function behind(position: number): number {
  return (position + ((position & IN_BLOCK) === 0 ? BLOCK_HEAD + 1 : 1)) | 0
}

/** How many entries lie between two positions, the first of which is not behind the other. */
export function entriesBetween(from: number, to: number): number {
  const words = (to - from) >>> 0
  return words - (headsBefore(to, from) - headsBefore(from, from)) * BLOCK_HEAD
}
/** How many blocks begin before a position, counted from that of `origin`. */
function headsBefore(position: number, origin: number): number {
  const start = origin & ~IN_BLOCK
  return Math.ceil(((position - start) >>> 0) / BLOCK_WORDS)
}

/** Entries that were queued and are not free yet. A snapshot, for any thread. */
export function pendingEntries({ i32 }: Memory, list: number): number {
  // The older one first: it is not behind the other then.
  const passed = passedOf(i32, list)
  return entriesBetween(passed, tailOf(i32, list))
}

export function tailOf(view: mem.I32View, list: number): number {
  // CB(list.tail) pairs with CA in FreeQueue: the entries before it, and their blocks, may be read;
  // what they name was unlinked before. Mutant: rcu/entry-after-tail.
  return mem.loadAtomic32(view, list + words.tail)
}
export function passedOf(view: mem.I32View, list: number): number {
  // CD(list.passed) pairs with CC in ListRunner: what was queued before it is free. Mutant:
  // rcu/passed-early.
  return mem.loadAtomic32(view, list + words.passed)
}
