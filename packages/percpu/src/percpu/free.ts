/**
 * Giving memory back. It happens as often as allocating, and shall not cost more than a few loads and stores beside the lock: so it is
 * one closure over the places it needs, which an engine keeps at hand, where it would follow the objects of the allocator anew.
 *
 * After a free the chunk may move to another slot. Only a page that became wholly free can make it one to be set aside, or one wholly
 * free chunk too many: balance.ts does the rest, later.
 *
 * Cost: see "percpu" in docs/benchmarks.md; the lock is a quarter of it.
 */
import * as mem from '#mem'
import { lengthAt } from './chunk.js'
import type { AllocatorState } from './state.js'
import { PointerError } from './errors.js'
import { EMPTY_PAGES_HIGH } from './geometry.js'
import { CHUNK_ISOLATED, PercpuChunk, PercpuRoot, PercpuStatistics } from './layouts.js'
import { RELEASE, repair } from './operation.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { words: fields } = PercpuRoot
const { empty, slot } = PercpuChunk.words
const longest = PercpuChunk.words['whole.contig']

/** `statistics`: word index of this CPU's. `schedule`: lets the balancing run soon. */
export function makeFree(
  state: AllocatorState,
  statistics: number,
  schedule: () => void,
): (pointer: number) => void {
  const { locked, chunks, slots, memory, geometry, tables } = state
  const { shift, capacity } = geometry
  const mask = geometry.granules - 1
  const { registry, root } = tables
  const lock = root + fields.lock
  const operation = root + fields.operation
  const operationChunk = root + fields.operationChunk
  const operationStart = root + fields.operationStart
  const operationLength = root + fields.operationLength
  const frees = statistics + PercpuStatistics.words.frees
  return (pointer) => {
    let wanted = false
    locked.lock(lock)
    try {
      const view = memory.i32
      if (load32(view, operation) !== 0) repair(state)
      const index = pointer >>> shift
      const start = pointer & mask
      const chunk = (pointer | 0) === pointer && index < capacity ? load32(view, registry + index) : 0
      const length = chunk === 0 ? 0 : lengthAt(view, chunk, geometry, start)
      if (length === 0) throw badPointer(pointer)
      store32(view, operationChunk, chunk)
      store32(view, operationStart, start)
      store32(view, operationLength, length)
      // It counts from here on. Mutant: percpu/free-unannounced.
      store32(view, operation, RELEASE)
      const before = load32(view, chunk + longest)
      const emptied = chunks.release(chunk, start, length)
      if (load32(view, chunk + longest) !== before || load32(view, chunk + slot) === 0) slots.relocate(chunk)
      if (emptied > 0) {
        state.addEmpty(chunk, emptied)
        wanted = setsAside(state, chunk)
      }
      // All of it has happened.
      store32(view, operation, 0)
    } finally {
      locked.unlock()
    }
    store32(memory.i32, frees, (load32(memory.i32, frees) + 1) | 0)
    if (wanted) schedule()
  }
}

export function badPointer(pointer: number): PointerError {
  return new PointerError(
    `there is no per-CPU memory at pointer ${pointer}: it was freed, or never allocated`,
    { pointer },
  )
}

/** Whether the chunk, of which a page became wholly free, is set aside, or is one wholly free chunk too many. */
function setsAside(state: AllocatorState, chunk: number): boolean {
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
