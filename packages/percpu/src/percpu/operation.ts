/**
 * What a thread that dies in the middle of an operation leaves, and how the next owner of the lock
 * repairs it.
 *
 *     operation   start, length   is repaired by
 *     ───────────────────────────────────────────────────────────────────────────────────────────
 *     TAKE        granules        clearing their bits: the allocation has not happened
 *     PUBLISH     granules        the same, unless the pointer is at `into`: then it has happened
 *     RELEASE     granules        clearing their bits: the free has happened
 *     RELEASE_FROM granules       the same, and clearing the word `from`
 *     SORT        –               making lists and sums anew
 *     MAP         pages           unmapping and freeing those that are mapped, but not populated,
 *                                 and tables of the chunk that lead nowhere
 *
 * The bitmaps, the registry and the page tables are the truth. Hints, lists and counts follow from
 * them by the equations of layouts.ts, and are made anew. An operation is announced, then changes
 * words by bare stores, and is concluded by one store. Only the registry and the page tables change
 * in sections, together with whom the pages belong to.
 *
 * The reaper repairs operations on granules. If another thread has taken the lock meanwhile, that
 * one has repaired them. Operations on pages are left to the next owner, for they need the page
 * allocator. Whoever repairs may die, too: the operation is concluded last, and each step can be
 * repeated.
 */
import { loadAtomic32 } from '#mem'
import { clearBit, clearRange } from './bitmap.js'
import { CHUNK_RESERVED, PercpuChunk, PercpuRoot } from './layouts.js'
import { RESERVED_CHUNK, type AllocatorState } from './state.js'

export const TAKE = 1
export const RELEASE = 2
export const SORT = 3
export const MAP = 4
/** A {@link TAKE} whose pointer is published. */
export const PUBLISH = 5
/** A {@link RELEASE} of what a word gave the right to free. */
export const RELEASE_FROM = 6

const { words: fields } = PercpuRoot
const { empty, populated } = PercpuChunk.words

/** To be called before the first bare store of an operation. `into`: a word index. */
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

/** All of the operation has happened. */
export function conclude({ locked, tables: { root } }: AllocatorState): void {
  locked.put(root + fields.operation, 0)
}

/**
 * To be called whenever the lock was taken: repairs what a dead owner left.
 *
 * @throws LockTimeoutError.
 */
export function repair(state: AllocatorState): void {
  const operation = state.locked.get(state.tables.root + fields.operation)
  if (operation !== 0) repairOperation(state, operation)
}

/**
 * For the reaper, in the dead CPU's place.
 *
 * @returns whether a trim may be due: there are chunks beside the two made at boot.
 */
export function repairGranules(state: AllocatorState): boolean {
  const { locked, tables } = state
  if (!locked.trySpin(tables.root + fields.lock)) return false
  try {
    if (locked.get(tables.root + fields.operation) !== MAP) repair(state)
    return locked.get(tables.root + fields.chunks) > RESERVED_CHUNK + 1
  } finally {
    locked.unlock()
  }
}

function repairOperation(state: AllocatorState, operation: number): void {
  const { locked, geometry, chunks } = state
  const { root } = state.tables
  const chunk = locked.get(root + fields.operationChunk)
  const start = locked.get(root + fields.operationStart)
  const end = start + locked.get(root + fields.operationLength)
  if (operation === MAP) {
    unmapUnpopulated(state, chunk, start, end)
    chunks.rebuild(chunk)
  } else if (operation !== SORT) {
    if (operation !== PUBLISH || !isPublished(state, chunk, start)) {
      clearRange(locked.view, chunk + geometry.allocated, start, end)
      // Mutant: percpu/owned-kept.
      clearBit(locked.view, chunk + geometry.owned, start)
    }
    chunks.rebuild(chunk)
    // Mutant: percpu/free-from-kept.
    if (operation === RELEASE_FROM) locked.put(locked.get(root + fields.operationInto), 0)
  }
  recount(state)
  conclude(state)
}

/** Page by page: a reaper that dies in between leaves the rest to the next one. */
function unmapUnpopulated(
  { chunks, backend }: AllocatorState,
  chunk: number,
  from: number,
  to: number,
): void {
  for (let page = from; page < to; page++) {
    if (chunks.isPopulated(chunk, page)) continue
    const unmapped: number[] = []
    backend.unmap(chunk, page, page + 1, unmapped)
    backend.release(unmapped)
  }
}

/** Whether another thread may have the pointer. Then its memory was cleared before. */
function isPublished(
  { locked, geometry, memory, tables: { root } }: AllocatorState,
  chunk: number,
  start: number,
): boolean {
  const pointer = geometry.pointerTo(locked.get(chunk + PercpuChunk.words.index), start)
  // atomic: the dead owner's own store, or none; A in Allocator publishes.
  // Mutant: percpu/published-undone.
  return loadAtomic32(memory.i32, locked.get(root + fields.operationInto)) === pointer
}

/** Makes lists and sums anew from the chunks. */
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
