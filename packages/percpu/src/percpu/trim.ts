/**
 * Balancing: gives back what is not needed, and keeps some pages ready for requests that must not grow. (After the kernel's
 * pcpu_balance_workfn.) Runs as a job of its own, soon after an operation that made it worthwhile:
 *
 *     1. wholly free chunks but one are destroyed
 *     2. chunks set aside lose their empty pages, from the last one on, down to the upper bound of all
 *     3. chunks get pages, up to the upper bound (more after an atomic request that failed); a new one, if none can
 *     4. wholly free chunks without pages are destroyed, but for one
 *
 * Cost: that of the pages moved; the lock is held for one chunk at a time.
 */
import type { AllocatorState } from './state.js'
import { BLOCK, EMPTY_PAGES_HIGH } from './geometry.js'
import { createChunk, depopulateChunk, destroyChunk, populateChunk, runsOf } from './growth.js'
import { PercpuChunk, PercpuRoot } from './layouts.js'
import { announce, conclude, repair, SORT } from './operation.js'

const { words: fields } = PercpuRoot
const { populated } = PercpuChunk.words

/**
 * `isPatient`: waits for the lock as everybody does. Otherwise it gives up, and returns false, where that is not free in a moment: the
 * owner may have died, and this thread be the one to clean up after it.
 */
export function trim(state: AllocatorState, isPatient = true): boolean {
  let wanted = -1
  const populate = (): boolean => {
    wanted = wanted < 0 ? shortage(state) : wanted
    const got = wanted === 0 ? 0 : populateOne(state, wanted)
    wanted -= got
    return got > 0
  }
  const phases = [
    () => destroyOne(state, false),
    () => reclaimOne(state),
    populate,
    () => destroyOne(state, true),
  ]
  return phases.every((step) => runSteps(state, step, isPatient))
}

/** A step at a time under the lock, until there is nothing more to do. */
function runSteps(state: AllocatorState, step: () => boolean, isPatient: boolean): boolean {
  const { locked, tables } = state
  const lock = tables.root + fields.lock
  for (let more = true; more;) {
    if (isPatient) locked.lock(lock)
    else if (!locked.trySpin(lock)) return false
    try {
      repair(state)
      more = step()
    } finally {
      locked.unlock()
    }
  }
  return true
}

/** One wholly free chunk that is not the first of them. */
function destroyOne(state: AllocatorState, onlyWithoutPages: boolean): boolean {
  const { slots, geometry, locked } = state
  const kept = slots.first(geometry.free)
  for (let chunk = kept === 0 ? 0 : slots.next(kept); chunk !== 0; chunk = slots.next(chunk)) {
    if (onlyWithoutPages && locked.get(chunk + populated) > 0) continue
    destroyChunk(state, chunk)
    return true
  }
  return false
}

/** The first chunk set aside: its empty pages, or as many as are too many. */
function reclaimOne(state: AllocatorState): boolean {
  const { slots, geometry, locked } = state
  const chunk = slots.first(geometry.depopulate)
  if (chunk === 0) return false
  const unmapped: number[] = []
  let enough = false
  for (const [from, to] of emptyRunsBackwards(state, chunk)) {
    enough = locked.get(state.tables.root + fields.emptyPages) < EMPTY_PAGES_HIGH
    if (enough) break
    depopulateChunk(state, chunk, from, to, unmapped)
  }
  state.backend.release(unmapped)
  announce(state, SORT, chunk, 0, 0)
  if (enough || state.isWhollyFree(chunk)) state.integrate(chunk)
  else slots.move(chunk, geometry.sidelined)
  conclude(state)
  return true
}

function emptyRunsBackwards(state: AllocatorState, chunk: number): [number, number][] {
  const { chunks, geometry } = state
  const runs: [number, number][] = []
  for (let page = geometry.pages; page > 0; page--) {
    const to = page
    while (page > 0 && chunks.isEmpty(chunk, page - 1) && chunks.isPopulated(chunk, page - 1)) page--
    if (page < to) runs.push([page, to])
  }
  return runs
}

/** How many pages are wanted; more than there are after a request that must not grow found none. */
function shortage({ locked, tables: { root } }: AllocatorState): number {
  if (locked.get(root + fields.nowaitFailed) !== 0) {
    locked.put(root + fields.nowaitFailed, 0)
    return EMPTY_PAGES_HIGH
  }
  return Math.max(0, EMPTY_PAGES_HIGH - locked.get(root + fields.emptyPages))
}

/** Populates one hole of a chunk, `wanted` pages of it at most. Returns how many; 0 when there is no memory. */
function populateOne(state: AllocatorState, wanted: number): number {
  const { locked, geometry, slots } = state
  for (let slot = geometry.slotOf(BLOCK); slot <= geometry.free; slot++) {
    // Chunks set aside shall not get what they just lost.
    if (slot === geometry.sidelined) continue
    for (let chunk = slots.first(slot); chunk !== 0; chunk = slots.next(chunk)) {
      if (locked.get(chunk + populated) === geometry.pages) continue
      const [hole] = runsOf(state, chunk, 0, geometry.pages, false)
      if (!hole) continue
      const [from, to] = hole
      const last = Math.min(to, from + wanted)
      return populateChunk(state, chunk, from, last) ? last - from : 0
    }
  }
  const made = createChunk(state)
  return made !== undefined && populateChunk(state, made, 0, Math.min(wanted, geometry.pages))
    ? Math.min(wanted, geometry.pages)
    : 0
}
