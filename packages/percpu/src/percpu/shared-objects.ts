/** Counters, reference counts and reader-writer locks by name, for one thread. */
import { loadU32, storeAtomic32, storeF64, storeU32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { checkRange, shown } from '../machine/check.js'
import { NameInUseError, OfflineError } from '../machine/errors.js'
import { reportError } from '../machine/platform.js'
import type { SyncLayer } from '../sync/layer.js'
import type { Locks } from '../sync/locks.js'
import { pointerAt } from './allocator.js'
import { defaultBatch, MAX_BATCH, PercpuCounter } from './counter.js'
import type { CpuState } from './cpu-state.js'
import { GRANULE } from './geometry.js'
import { PercpuCounterLayout, PercpuReaders, PercpuRefLayout, PercpuRwSemaphoreLayout } from './layouts.js'
import { findShared, openShared, sharedObject, type SharedObject } from './named.js'
import { INITIAL_STATE, isUnsettled, PercpuRef, useOfRef } from './ref.js'
import { PercpuRwSemaphore, useOfRwSemaphore, type RwSemaphoreParts } from './rwsem.js'

/** What `percpu.counter` takes. */
export interface CounterOptions {
  /**
   * A CPU folds its part into the sum when the part reaches this, a whole number from 1 to 2^30.
   * Default 256, or twice the number of possible CPUs if that is more.
   */
  readonly batch?: number
}

/** What of per-CPU memory has names: `'object'` is what `machine.percpu` makes with a name. */
export type PercpuKind = 'object' | 'counter' | 'ref' | 'rwSemaphore'
const spaces = { object: 'percpu', counter: 'counter', ref: 'ref', rwSemaphore: 'rwSemaphore' } as const

export class SharedObjects {
  readonly #sync: SyncLayer
  readonly #locks: Locks
  readonly #cpuState: CpuState

  constructor(sync: SyncLayer, locks: Locks, cpuState: CpuState) {
    this.#sync = sync
    this.#locks = locks
    this.#cpuState = cpuState
  }

  counter(name: string, { batch }: CounterOptions): PercpuCounter {
    const { state, context, layerLock } = this.#cpuState
    const wanted = batch === undefined ? defaultBatch(state.geometry.cpus) : batch
    checkRange('batch', wanted, 1, MAX_BATCH)
    const { u32, f64 } = state.memory
    const { words, offsets } = PercpuCounterLayout
    const counter = openShared(this.#cpuState, 'counter', name, PercpuCounterLayout, GRANULE, (address) => {
      storeU32(u32, address / 4 + words.batch, wanted)
      storeF64(f64, (address + offsets.estimate) / 8, 0)
    })
    const found = loadU32(u32, counter.words + words.batch)
    if (batch !== undefined && batch !== found)
      throw new ArgumentError(`batch: counter ${shown(name)} has ${found}, not ${batch}`, { batch, found })
    return new PercpuCounter(name, counter, layerLock, context.own.cpu)
  }

  ref(name: string): PercpuRef {
    const { i32 } = this.#cpuState.state.memory
    const { words } = PercpuRefLayout
    const ref = openShared(this.#cpuState, 'ref', name, PercpuRefLayout, GRANULE, (address) => {
      // atomic: no other thread can find it yet.
      storeAtomic32(i32, address / 4 + words.state, INITIAL_STATE)
    })
    return this.#refOf(name, ref)
  }
  #refOf(name: string, ref: SharedObject): PercpuRef {
    const parts = this.#partsOf(name, ref, PercpuRefLayout.words)
    return new PercpuRef(name, { ...parts, background: this.#sync.background })
  }

  rwSemaphore(name: string): PercpuRwSemaphore {
    const lock = openShared(this.#cpuState, 'rwSemaphore', name, PercpuRwSemaphoreLayout, PercpuReaders.size)
    const thing = { address: lock.words * 4, serial: lock.serial }
    const isThere = (): boolean => this.#cpuState.context.names.has('rwSemaphore', thing)
    const parts = this.#partsOf(name, lock, PercpuRwSemaphoreLayout.words)
    return new PercpuRwSemaphore(name, { ...parts, isThere })
  }

  /**
   * Takes the name of an object away; its memory is freed after a grace period.
   *
   * @throws NameInUseError; ObjectMissingError; ArgumentError; LockTimeoutError.
   */
  remove(kind: PercpuKind, name: string): void {
    const { context } = this.#cpuState
    const space = typeof kind === 'string' && Object.hasOwn(spaces, kind) ? spaces[kind] : undefined
    if (space === undefined)
      throw new ArgumentError(`kind: ${shown(kind)} is none of ${Object.keys(spaces).join(', ')}`, { kind })
    context.names.remove(space, name, (address) => {
      const use = this.#useOf(kind, address)
      if (use !== undefined)
        throw new NameInUseError(`the ${kind} ${shown(name)} ${use}: it was not removed`, { kind, name })
    })
  }
  /** Why the object must not be freed, as far as can be known. */
  #useOf(kind: PercpuKind, address: number): string | undefined {
    const { state } = this.#cpuState
    const pointer = pointerAt(state, address)
    if (pointer <= 0) return undefined
    const object = sharedObject(state, address, pointer)
    if (kind === 'ref') return useOfRef(object)
    return kind === 'rwSemaphore' ? useOfRwSemaphore(object) : undefined
  }

  /**
   * Ends the changes of mode that dead threads began. One that is unsettled is not removed: the
   * bias is in its count. What another thread has settled and removed meanwhile is not freed yet,
   * and no object of its name is made. Mutant: percpu/settled-by-name.
   */
  settle(): void {
    const { state, context } = this.#cpuState
    for (const { name, ...ref } of findShared(state, context.names, 'ref')) {
      if (!isUnsettled(state.memory, ref.words)) continue
      // If this CPU goes offline meanwhile, the next thread that changes the mode ends the change.
      this.#refOf(name, ref).settle().catch(reportUnlessOffline)
    }
  }

  #partsOf(
    name: string,
    object: SharedObject,
    words: { readonly mutex: number; readonly waiters: number },
  ): Omit<RwSemaphoreParts, 'isThere'> {
    const { own } = this.#cpuState.context
    return {
      ...object,
      cpu: own.cpu,
      own,
      mutex: this.#locks.mutexAt((object.words + words.mutex) * 4, `mutex of ${name}`),
      queue: this.#sync.queue(object.words + words.waiters, object.words * 4, name),
      synchronize: (deadline) => own.gracePeriods.synchronize(deadline),
      reportError: reportUnlessOffline,
    }
  }
}

/** For work in the background, which ends when the CPU goes offline. */
function reportUnlessOffline(error: unknown): void {
  if (!(error instanceof OfflineError)) reportError(error)
}
