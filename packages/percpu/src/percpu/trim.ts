/**
 * Trimming: gives back chunks and pages that nobody uses, and keeps some pages populated and empty
 * for requests that do not wait. (After the kernel's pcpu_balance_workfn.) It runs as a job of its
 * own, soon after an operation that made it worthwhile:
 *
 *     1. all wholly free chunks but one are destroyed
 *     2. isolated chunks lose empty pages, the last ones first, until few enough are left in all
 *     3. chunks get pages, up to the same bound; a new chunk, if no other one can
 *     4. wholly free chunks without pages are destroyed, but for one
 *
 * Progress: blocking; the lock is held for one chunk at a time.
 * Cost: in proportion to the pages that move.
 */
import type { AllocatorState } from './state.js'
import { BLOCK, EMPTY_PAGES_HIGH } from './geometry.js'
import { createChunk, depopulateChunk, destroyChunk, populateChunk, runsOf } from './growth.js'
import { PercpuChunk, PercpuRoot } from './layouts.js'
import { announce, conclude, repair, SORT } from './operation.js'

const { words: fields } = PercpuRoot
const { populated } = PercpuChunk.words

/** @throws LockTimeoutError. */
export function trim(state: AllocatorState): void {
  runPhases(state, (lock) => {
    state.locked.lock(lock)
    return true
  })
}

/**
 * As {@link trim}, but returns false, undone, where the lock is not free within some microseconds.
 * Its owner may have died, and this thread may be the one to clean up after that.
 */
export function tryTrim(state: AllocatorState): boolean {
  return runPhases(state, (lock) => state.locked.trySpin(lock))
}

/**
 * For somebody else who has no memory: as {@link tryTrim}, and populates nothing. Returns whether
 * anything was given back, as far as the lock was free.
 */
export function tryGiveBack(state: AllocatorState): boolean {
  let isGiven = false
  const noting = (step: () => boolean) => (): boolean => {
    const more = step()
    isGiven ||= more
    return more
  }
  const phases = [() => destroyOne(state, false), () => reclaimOne(state), () => destroyOne(state, true)]
  phases.every((step) => runSteps(state, noting(step), (lock) => state.locked.trySpin(lock)))
  return isGiven
}

/** `takeLock` returns whether it did. */
function runPhases(state: AllocatorState, takeLock: (lock: number) => boolean): boolean {
  let wanted = -1
  const populate = (): boolean => {
    wanted = wanted < 0 ? shortage(state) : wanted
    const got = wanted === 0 ? 0 : populateAhead(state, wanted)
    wanted -= got
    return got > 0
  }
  const phases = [
    () => destroyOne(state, false),
    () => reclaimOne(state),
    populate,
    () => destroyOne(state, true),
  ]
  return phases.every((step) => runSteps(state, step, takeLock))
}

/** Repeats `step`, each time under the lock, until it returns false. */
function runSteps(state: AllocatorState, step: () => boolean, takeLock: (lock: number) => boolean): boolean {
  const { locked, tables } = state
  for (let more = true; more;) {
    if (!takeLock(tables.root + fields.lock)) return false
    try {
      repair(state)
      more = step()
    } finally {
      locked.unlock()
    }
  }
  return true
}

/** Destroys one wholly free chunk that is not the first of them. Returns whether there was one. */
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

/** Depopulates empty pages of one isolated chunk. Returns whether there was one. */
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

/** Rows of empty populated pages, the last one first. */
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

/**
 * How many pages are to be populated. After a request found none, those that there are do not
 * count.
 */
function shortage({ locked, tables: { root } }: AllocatorState): number {
  if (locked.get(root + fields.nowaitFailed) !== 0) {
    locked.put(root + fields.nowaitFailed, 0)
    return EMPTY_PAGES_HIGH
  }
  return Math.max(0, EMPTY_PAGES_HIGH - locked.get(root + fields.emptyPages))
}

/** Populates at most `wanted` pages, all of one chunk. Returns how many; 0 if memory ran out. */
function populateAhead(state: AllocatorState, wanted: number): number {
  const { locked, geometry, slots } = state
  for (let slot = geometry.slotOf(BLOCK); slot <= geometry.free; slot++) {
    // They would get back the pages that they just lost.
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
