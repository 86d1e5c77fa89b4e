/**
 * What is done about counters, reference counts and reader-writer locks when a CPU goes offline or
 * dies. Their names are the list of all of them.
 */
import type { Names } from '../bootmem/names.js'
import type { Recovery } from '../cpus/layer.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { foldDead } from './counter.js'
import { PercpuRefLayout } from './layouts.js'
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
export function leaveAll(
  state: AllocatorState,
  names: Names,
  { cpu, ringer }: Recovery,
  layerLock: LayerLock,
): number {
  const { memory } = state
  for (const counter of findShared(state, names, 'counter')) foldDead(counter, layerLock, cpu)
  let readLocks = 0
  for (const { words, parts } of findShared(state, names, 'rwSemaphore'))
    readLocks += leaveForDead(memory, ringer, words, parts[cpu] ?? 0)
  for (const { words } of findShared(state, names, 'ref'))
    if (isUnsettled(memory, words)) ringAll(memory, ringer, words + PercpuRefLayout.words.waiters)
  return readLocks
}
