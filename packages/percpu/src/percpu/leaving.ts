/**
 * What is done about counters, reference counts and reader-writer locks when a CPU goes offline or
 * dies. The directory is the list of all of them.
 */
import { openBootMemory } from '../bootmem/layer.js'
import type { Recovery } from '../cpus/layer.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { foldDead } from './counter.js'
import { PercpuCounterLayout, PercpuRefLayout, PercpuRwSemaphoreLayout } from './layouts.js'
import { findShared } from './named.js'
import { isUnsettled } from './ref.js'
import { leaveForDead } from './rwsem.js'
import type { AllocatorState } from './state.js'

/**
 * Folds what the CPU counted, releases its read locks, and returns how many there were. A reference
 * count whose mode it was changing is left to the threads that wait for its release: they are rung.
 *
 * `layerLock` is the lock of this layer in the name of that CPU. Every step can be repeated.
 */
export function leaveAll(state: AllocatorState, recovery: Recovery, layerLock: LayerLock): number {
  const { table, cpu, incarnation, ringer } = recovery
  const { memory } = state
  const { objects } = openBootMemory(table, cpu, incarnation)
  for (const counter of findShared(state, objects, PercpuCounterLayout)) foldDead(counter, layerLock, cpu)
  let readLocks = 0
  for (const { words, parts } of findShared(state, objects, PercpuRwSemaphoreLayout))
    readLocks += leaveForDead(memory, ringer, words, parts[cpu] ?? 0)
  for (const { words } of findShared(state, objects, PercpuRefLayout))
    if (isUnsettled(memory, words)) ringAll(memory, ringer, words + PercpuRefLayout.words.waiters)
  return readLocks
}
