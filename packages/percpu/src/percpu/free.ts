/**
 * Freeing. It is as frequent as allocating, and shall cost few loads and stores beside the lock. So
 * it is one closure over all that it needs, which an engine keeps in registers.
 *
 * `from` is the mirror image of what `into` is for an allocation: the word that holds the right to
 * free. It is cleared in the same step. So whoever runs a list of what is to be freed may die
 * anywhere, and the next one frees it once. The word is read under the lock, too: its 0 means that
 * the memory is free already.
 *
 * A free may move its chunk to another slot. If it leaves a page wholly free, it may also isolate
 * the chunk, or leave one wholly free chunk too many; a trim then gives back, later (trim.ts).
 *
 * Cost: see "percpu" in docs/benchmarks.md. The lock is a quarter of it.
 */
import * as mem from '#mem'
import { lengthAt } from './chunk.js'
import { clearBit, isSet } from './bitmap.js'
import { shown } from '../machine/check.js'
import type { AllocatorState } from './state.js'
import { NamedMemoryError, PointerError } from './errors.js'
import { EMPTY_PAGES_HIGH, GRANULE } from './geometry.js'
import { CHUNK_ISOLATED, PercpuChunk, PercpuRoot, PercpuStatistics } from './layouts.js'
import { RELEASE, RELEASE_FROM, repair } from './operation.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { words: fields } = PercpuRoot
const { empty, slot } = PercpuChunk.words
const longest = PercpuChunk.words['whole.contig']

/**
 * Frees what begins at a pointer. With `from`, the index of a word that is not 0: only if that word
 * still is not 0; it is 0 afterwards. With {@link OWNER}, or a word: also what has an owner.
 *
 * @returns the bytes of each copy; 0 if the word was 0.
 * @throws PointerError unless an allocation begins there; NamedMemoryError if it has an owner;
 *   LockTimeoutError. Nothing is changed then.
 */
export type Free = (pointer: number, from?: number) => number

/** In the place of a word: the owner frees it, and nobody else knows of it any more. */
export const OWNER = -1

/**
 * Makes the function that frees.
 *
 * `statistics`: word index of this CPU's PercpuStatistics. `scheduleTrim`: lets a trim run soon.
 */
export function makeFree(state: AllocatorState, statistics: number, scheduleTrim: () => void): Free {
  const { locked, chunks, slots, memory, geometry, tables } = state
  const { root, registry } = tables
  const { shift, capacity, owned } = geometry
  const mask = geometry.granules - 1
  const lock = root + fields.lock
  const operation = root + fields.operation
  const operationChunk = root + fields.operationChunk
  const operationStart = root + fields.operationStart
  const operationLength = root + fields.operationLength
  const operationFrom = root + fields.operationInto
  const frees = statistics + PercpuStatistics.words.frees
  return (pointer, from = 0) => {
    if (typeof pointer !== 'number') throw badPointer(pointer)
    let wantsTrim = false
    let bytes: number
    locked.lock(lock)
    try {
      const view = memory.i32
      if (load32(view, operation) !== 0) repair(state)
      // Somebody who died had announced it. Mutant: percpu/free-twice.
      if (from > 0 && load32(view, from) === 0) return 0
      // As recordOf and granuleOf do.
      const index = pointer >>> shift
      const start = pointer & mask
      const chunk = (pointer | 0) === pointer && index < capacity ? load32(view, registry + index) : 0
      const length = chunk === 0 ? 0 : lengthAt(view, chunk, geometry, start)
      if (length === 0) throw badPointer(pointer)
      // Mutant: percpu/freed-under-its-name.
      if (from === 0 && isSet(view, chunk + owned, start)) throw hasOwner(pointer)
      bytes = length * GRANULE
      store32(view, operationChunk, chunk)
      store32(view, operationStart, start)
      store32(view, operationLength, length)
      if (from > 0) store32(view, operationFrom, from)
      // It counts from here on. Mutant: percpu/free-unannounced.
      store32(view, operation, from > 0 ? RELEASE_FROM : RELEASE)
      if (from !== 0) clearBit(view, chunk + owned, start)
      const before = load32(view, chunk + longest)
      const emptied = chunks.release(chunk, start, length)
      if (load32(view, chunk + longest) !== before || load32(view, chunk + slot) === 0) slots.relocate(chunk)
      if (emptied > 0) {
        state.addEmpty(chunk, emptied)
        wantsTrim = afterEmptying(state, chunk)
      }
      if (from > 0) store32(view, from, 0)
      // All of it has happened.
      store32(view, operation, 0)
    } finally {
      locked.unlock()
    }
    store32(memory.i32, frees, (load32(memory.i32, frees) + 1) | 0)
    if (wantsTrim) scheduleTrim()
    return bytes
  }
}

export function badPointer(pointer: number): PointerError {
  return new PointerError(
    `there is no per-CPU memory at pointer ${shown(pointer)}: it was freed, or never allocated`,
    { pointer },
  )
}

export function hasOwner(pointer: number): NamedMemoryError {
  return new NamedMemoryError(
    `the per-CPU memory at pointer ${pointer} belongs to a named object or an SRCU domain: it is freed with that ` +
      '(percpu.remove, cleanup); it was left as it is',
    { pointer },
  )
}

/**
 * A page of the chunk became wholly free. Isolates the chunk if it has many of them, and others
 * have enough. Returns whether there is something to trim.
 */
function afterEmptying(state: AllocatorState, chunk: number): boolean {
  const { locked, slots, geometry, backend, tables } = state
  if (state.is(chunk, CHUNK_ISOLATED)) {
    slots.move(chunk, geometry.depopulate)
    return true
  }
  if (state.isWhollyFree(chunk)) {
    const first = slots.first(geometry.free)
    return first !== chunk || slots.next(chunk) !== 0
  }
  if (backend.populatedAtOnce || state.isImmutable(chunk) || !state.isCounted(chunk)) return false
  const own = locked.get(chunk + empty)
  if (own < geometry.pages / 4) return false
  if (locked.get(tables.root + fields.emptyPages) <= EMPTY_PAGES_HIGH + own) return false
  state.isolate(chunk)
  return true
}
