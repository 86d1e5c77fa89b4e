/**
 * Counters, reference counts and locks by name: their parts in per-CPU memory, and what is done
 * about them when a CPU leaves or dies. The directory is the list of all of them.
 */
import { loadU32, storeAtomic32, storeF64, storeU32, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import type { Struct } from '../layout/struct-type.js'
import type { Directory, ObjectInfo } from '../bootmem/directory.js'
import { openBootMemory } from '../bootmem/layer.js'
import { OfflineError } from '../machine/errors.js'
import type { Recovery } from '../cpus/layer.js'
import { reportError } from '../machine/platform.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { ringAll } from '../sync/cpu-mask.js'
import type { SyncLayer } from '../sync/layer.js'
import type { Locks } from '../sync/locks.js'
import { pointerAt } from './allocator.js'
import type { AllocatorState } from './state.js'
import { defaultBatch, foldDead, PercpuCounter, type SharedObject } from './counter.js'
import type { CpuState } from './cpu-state.js'
import { PercpuCounterLayout, PercpuReaders, PercpuRefLayout, PercpuRwSemaphoreLayout } from './layouts.js'
import { openNamed } from './named.js'
import { INITIAL_STATE, isUnsettled, PercpuRef } from './ref.js'
import { leaveForDead, PercpuRwSemaphore } from './rwsem.js'

const WORD = 4

export interface CounterOptions {
  /**
   * A CPU folds its part into the sum when the part reaches this, a whole number from 1 to 2^30.
   * Default 256, or twice the number of possible CPUs if that is more.
   */
  readonly batch?: number
}

interface Opened {
  readonly memory: Memory
  readonly words: number
  readonly parts: readonly number[]
}

export class SharedObjects {
  readonly #sync: SyncLayer
  readonly #locks: Locks
  readonly #attached: CpuState

  constructor(sync: SyncLayer, locks: Locks, attached: CpuState) {
    this.#sync = sync
    this.#locks = locks
    this.#attached = attached
  }

  counter(name: string, { batch }: CounterOptions): PercpuCounter {
    const { state, context, layerLock } = this.#attached
    const wanted = batch ?? defaultBatch(state.geometry.cpus)
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > 2 ** 30)
      throw new ArgumentError(`batch: ${shown(wanted)} is not a whole number from 1 to 2^30`, {
        batch: wanted,
      })
    const { u32, f64 } = state.memory
    const opened = this.#open(name, PercpuCounterLayout, (address) => {
      storeU32(u32, address / 4 + PercpuCounterLayout.words.batch, wanted)
      storeF64(f64, (address + PercpuCounterLayout.offsets.estimate) / 8, 0)
    })
    const found = loadU32(u32, opened.words + PercpuCounterLayout.words.batch)
    if (batch !== undefined && batch !== found)
      throw new ArgumentError(`batch: counter '${name}' has ${found}, not ${batch}`, { batch, found })
    return new PercpuCounter(name, opened, layerLock, context.own.cpu)
  }

  ref(name: string): PercpuRef {
    const { i32 } = this.#attached.state.memory
    const opened = this.#open(name, PercpuRefLayout, (address) => {
      // atomic: before anybody can find it.
      storeAtomic32(i32, address / 4 + PercpuRefLayout.words.state, INITIAL_STATE)
    })
    const { background } = this.#sync
    return new PercpuRef(name, { ...this.#lockParts(name, opened, PercpuRefLayout.words), background })
  }

  rwSemaphore(name: string): PercpuRwSemaphore {
    const opened = this.#open(name, PercpuRwSemaphoreLayout, undefined, PercpuReaders.size)
    return new PercpuRwSemaphore(name, this.#lockParts(name, opened, PercpuRwSemaphoreLayout.words))
  }

  /** Ends the changes of mode that dead threads began. */
  settle(): void {
    const { state } = this.#attached
    for (const { name, words } of find(state, this.#attached.context.objects, PercpuRefLayout)) {
      if (!isUnsettled(state.memory, words)) continue
      // A CPU that goes offline meanwhile leaves it to the next one that changes the mode.
      this.ref(name).settle().catch(reportUnlessOffline)
    }
  }

  /** `bytes`: of each CPU's part. */
  #open(
    name: string,
    layout: Struct,
    init: (address: number) => void = () => undefined,
    bytes = WORD,
  ): Opened {
    const spec = { type: layout.name, layout, bytes, align: bytes, init }
    const { state } = this.#attached
    const { address, pointer } = openNamed(this.#attached, name, spec)
    return { memory: state.memory, words: address / 4, parts: partsOf(state, pointer) }
  }

  #lockParts(
    name: string,
    opened: Opened,
    words: { readonly mutex: number; readonly waiters: number },
  ): ConstructorParameters<typeof PercpuRwSemaphore>[1] {
    const { context } = this.#attached
    return {
      ...opened,
      cpu: context.own.cpu,
      mutex: this.#locks.mutexAt((opened.words + words.mutex) * 4, `mutex of ${name}`),
      queue: this.#sync.queue(opened.words + words.waiters, opened.words * 4, name),
      synchronize: () => context.own.gracePeriods.synchronize(),
      reportError: reportUnlessOffline,
    }
  }
}

/** For work in the background, which ends when the CPU goes offline. */
function reportUnlessOffline(error: unknown): void {
  if (!(error instanceof OfflineError)) reportError(error)
}

/** Word index of each CPU's part. */
function partsOf(state: AllocatorState, pointer: number): number[] {
  const { geometry, backend } = state
  const chunk = state.record(pointer >>> geometry.shift)
  const granule = pointer & (geometry.granules - 1)
  return Array.from(
    { length: geometry.cpus },
    (_, cpu) => (backend.translate(chunk, cpu, granule) ?? 0) / WORD,
  )
}

interface Found extends Opened {
  readonly name: string
}

/** All objects of a kind that are complete. */
function find(state: AllocatorState, directory: Directory, layout: Struct): Found[] {
  const isOne = ({ type, layoutHash }: ObjectInfo): boolean =>
    type === layout.name && layoutHash === layout.hash
  return directory
    .list()
    .filter(isOne)
    .map(({ name, address }) => ({ name, address, pointer: pointerAt(state, address) }))
    .filter(({ pointer }) => pointer !== 0)
    .map(({ name, address, pointer }) => ({
      name,
      memory: state.memory,
      words: address / 4,
      parts: partsOf(state, pointer),
    }))
}

/**
 * Takes back what a CPU holds that dies or goes offline, and returns how many read locks it had.
 * `layerLock` is the lock of this layer in the name of that CPU. Every step can be repeated.
 */
export function leaveAll(state: AllocatorState, recovery: Recovery, layerLock: LayerLock): number {
  const { table, cpu, incarnation, ringer } = recovery
  const directory = openBootMemory(table, cpu, incarnation).objects
  for (const counter of find(state, directory, PercpuCounterLayout))
    foldDead(counter satisfies SharedObject, layerLock, cpu)
  let readLocks = 0
  for (const { words, parts } of find(state, directory, PercpuRwSemaphoreLayout))
    readLocks += leaveForDead(state.memory, ringer, words, parts[cpu] ?? 0)
  // If it was changing the mode, those who wait for the release go on.
  for (const { words } of find(state, directory, PercpuRefLayout))
    if (isUnsettled(state.memory, words)) ringAll(state.memory, ringer, words + PercpuRefLayout.words.waiters)
  return readLocks
}
