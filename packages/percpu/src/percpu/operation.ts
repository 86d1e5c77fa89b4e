/**
 * What a thread that dies in the middle of an operation leaves, and how the next one that takes the lock repairs it.
 *
 *     operation        chunk, start, length, into      what is repaired
 *     ───────────────────────────────────────────────────────────────────────────────────────────────────────────
 *     TAKE             granules                        the bits are cleared again: it has not happened
 *     PUBLISH          granules; published to `into`   the same, unless the pointer is there: then somebody may have it, and it has happened
 *     RELEASE          granules                        the bits are cleared: it has happened
 *     SORT             –                               lists
 *     MAP              pages from, to                  mapped pages that are not populated are unmapped, flushed, given back
 *
 * The bitmaps, the registry and the page tables are the truth. Hints, lists and counts follow from them and are made anew. An operation
 * changes all with bare stores after it was announced, and is ended by one store; only entries of the registry and of page tables
 * change in sections, together with whom the pages belong to.
 *
 * The reaper repairs what was being done to granules, unless somebody else has the lock, who does. Pages are left to the next owner.
 * Whoever repairs may die, too: the operation is ended last, and each step can be repeated.
 */
import { loadAtomic32 } from '#mem'
import { clearRange } from './bitmap.js'
import type { AllocatorState } from './state.js'
import { CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'

export const TAKE = 1
export const RELEASE = 2
export const SORT = 3
export const MAP = 4
/** A {@link TAKE} whose pointer is published. */
export const PUBLISH = 5

const { words: fields } = PercpuRoot
const { empty, populated } = PercpuChunk.words

/** Before the first change that the journal does not know of. */
export function announce(
  { locked, tables: { root } }: AllocatorState,
  operation: number,
  chunk: number,
  start: number,
  length: number,
  into = 0,
): void {
  locked.put(root + fields.operationChunk, chunk)
  locked.put(root + fields.operationStart, start)
  locked.put(root + fields.operationLength, length)
  if (operation === PUBLISH) locked.put(root + fields.operationInto, into)
  // It counts from here on. Mutant: percpu/operation-unannounced.
  locked.put(root + fields.operation, operation)
}

/** All of it has happened. */
export function conclude({ locked, tables: { root } }: AllocatorState): void {
  locked.put(root + fields.operation, 0)
}

/** To be called whenever the lock was taken: repairs what a dead owner left. */
export function repair(state: AllocatorState): void {
  const operation = state.locked.get(state.tables.root + fields.operation)
  if (operation !== 0) repairOperation(state, operation)
}

/** For the reaper, in the dead CPU's place. Returns whether there may be something to balance: chunks beside the first one's two. */
export function repairGranules(state: AllocatorState): boolean {
  const { locked, tables } = state
  if (!locked.trySpin(tables.root + fields.lock)) return false
  try {
    if (locked.get(tables.root + fields.operation) !== MAP) repair(state)
    return locked.get(tables.root + fields.chunks) > 2
  } finally {
    locked.unlock()
  }
}

function repairOperation(state: AllocatorState, operation: number): void {
  const { locked, geometry, chunks, backend } = state
  const { root } = state.tables
  const chunk = locked.get(root + fields.operationChunk)
  const start = locked.get(root + fields.operationStart)
  const end = start + locked.get(root + fields.operationLength)
  if (operation === MAP) {
    for (let page = start; page < end; page++) {
      if (chunks.isPopulated(chunk, page)) continue
      const unmapped: number[] = []
      backend.unmap(chunk, page, page + 1, unmapped)
      backend.release(unmapped)
    }
    chunks.rebuild(chunk)
  } else if (operation !== SORT) {
    if (operation !== PUBLISH || !isPublished(state, chunk, start))
      clearRange(locked.view, chunk + geometry.allocated, start, end)
    chunks.rebuild(chunk)
  }
  recount(state)
  conclude(state)
}

/** Whether somebody may have the pointer. Then its bits were set, and its memory cleared, before. */
function isPublished(
  { locked, geometry, memory, tables: { root } }: AllocatorState,
  chunk: number,
  start: number,
): boolean {
  const pointer = (locked.get(chunk + PercpuChunk.words.index) << geometry.shift) | start
  // atomic: the dead owner's own store, or none; A in Allocator publishes. Mutant: percpu/published-undone.
  return loadAtomic32(memory.i32, locked.get(root + fields.operationInto)) === pointer
}

/** Lists and sums, from the chunks. */
function recount(state: AllocatorState): void {
  const { locked, slots, tables } = state
  let emptyPages = 0
  let populatedPages = 0
  for (const chunk of state.records()) {
    if (state.isCounted(chunk)) emptyPages += locked.get(chunk + empty)
    if (!state.is(chunk, CHUNK_RESERVED)) populatedPages += locked.get(chunk + populated)
  }
  locked.put(tables.root + fields.emptyPages, emptyPages)
  locked.put(tables.root + fields.populatedPages, populatedPages)
  slots.rebuild(state.records())
}
