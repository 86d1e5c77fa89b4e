/**
 * The layer: its memory, the allocator of one thread, and what is done when a CPU leaves or dies. A
 * thread makes its allocator when it first needs it.
 */
import type { AllocLayer } from '../alloc/layer.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { host, reportError } from '../machine/platform.js'
import { LockHeldError, LockTimeoutError } from '../sync/errors.js'
import { type LayerLock, LAYER_PERCPU } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import type { Locks } from '../sync/locks.js'
import { Allocator } from './allocator.js'
import type { Backend } from './backend.js'
import type { CpuState } from './cpu-state.js'
import { tryGiveBack, tryTrim } from './trim.js'
import { AllocatorState, type Tables } from './state.js'
import { GRANULE, type Geometry } from './geometry.js'
import { ContiguousBackend } from './km.js'
import { leaveAll } from './leaving.js'
import { Mapping } from './mapping.js'
import { repairGranules } from './operation.js'
import { planGeometry, type PercpuOptions } from './options.js'
import { noPages, type PageSource } from './pages.js'
import { allocateUnits, bootPages, createRoot, layOutFirstChunk, openRoot, type Opened } from './setup.js'
import { SharedObjects } from './shared-objects.js'
import { MappedBackend } from './vm.js'
import { LockedMemory } from './locked-memory.js'

/** Milliseconds after which a trim is tried again that found the allocator locked. */
const LATER = 1

/**
 * At boot: the memory of the layer, and the first chunk.
 *
 * @throws ArgumentError; OutOfMemoryError.
 */
export function bootPercpu(context: LayerContext, sync: SyncLayer, options: PercpuOptions = {}): void {
  const { table, cpu, incarnation } = context.own
  createRoot(context, planGeometry(table, options))
  const { geometry, tables, first } = openRoot(context)
  const layerLock = sync.layerLock(table, cpu, incarnation, LAYER_PERCPU)
  const state = makeState(table, geometry, tables, layerLock, bootPages(context, geometry))
  layOutFirstChunk(state, first, allocateUnits(context, geometry))
}

export class PercpuLayer implements AttachedLayer {
  readonly name = 'percpu'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #locks: Locks
  readonly #alloc: AllocLayer
  #cpuState: CpuState | undefined
  /** This thread's own CPU is offline, or about to be. */
  #hasLeft = false
  /** Where things are; known in any case once this CPU has gone offline. */
  #opened: Opened | undefined
  #isScheduled = false

  constructor(context: LayerContext, sync: SyncLayer, locks: Locks, alloc: AllocLayer) {
    this.#context = context
    this.#sync = sync
    this.#locks = locks
    this.#alloc = alloc
  }

  /**
   * Folds what the CPU counted for itself, and unlocks what it has locked for reading.
   *
   * @throws LockHeldError after that, if it had locked anything.
   */
  detach(): void {
    const cpuState = this.#cpuState
    this.abandon()
    if (!cpuState) return
    const { state, layerLock, context } = cpuState
    const { table, doorbell, cpu, incarnation } = context.own
    const readLocks = leaveAll(
      state,
      context.names,
      { table, ringer: doorbell.ringer, cpu, incarnation },
      layerLock,
    )
    if (readLocks === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${readLocks} read locks of reader-writer locks; they were released`,
      { cpu, readLocks },
    )
  }

  abandon(): void {
    this.#open()
    this.#cpuState = undefined
    this.#hasLeft = true
  }

  /** Repairs what the dead CPU left half-done, unless another thread has the lock and does. */
  recover(recovery: Recovery): void {
    const { state, layerLock } = this.stateFor(recovery)
    const mayTrim = repairGranules(state)
    leaveAll(state, this.#context.names, recovery, layerLock)
    if (this.#hasLeft) return
    this.objects.settle()
    // The dead thread may have been about to do so.
    if (mayTrim) this.#scheduleTrim()
  }

  /** In the name of a CPU that has gone, through the recovering thread's own views. */
  stateFor({ table, cpu, incarnation }: Recovery): Pick<CpuState, 'state' | 'layerLock'> {
    const { geometry, tables } = this.#open()
    const layerLock = this.#sync.layerLock(table, cpu, incarnation, LAYER_PERCPU)
    return { state: makeState(table, geometry, tables, layerLock, noPages), layerLock }
  }

  /** @throws OfflineError */
  use(): CpuState {
    return this.#cpuState ?? this.#attach()
  }

  #open(): Opened {
    return (this.#opened ??= openRoot(this.#context))
  }

  #attach(): CpuState {
    const { own } = this.#context
    if (this.#hasLeft) throw own.offlineError()
    const { geometry, tables, first } = this.#open()
    const layerLock = this.#sync.layerLock(own.table, own.cpu, own.incarnation, LAYER_PERCPU)
    const state = makeState(own.table, geometry, tables, layerLock, this.#alloc.heap.pages)
    const statistics = (state.backend.translate(first, own.cpu, 0) ?? 0) / GRANULE
    const allocator = new Allocator(state, statistics, () => this.#scheduleTrim())
    return (this.#cpuState = { context: this.#context, state, allocator, layerLock })
  }

  /** Counters and other objects by name. */
  get objects(): SharedObjects {
    return new SharedObjects(this.#sync, this.#locks, this.use())
  }

  /** The heap runs short: gives back what nobody uses. Returns whether there was anything. */
  relieve(): boolean {
    if (this.#hasLeft) return false
    try {
      return tryGiveBack(this.use().state)
    } catch (error) {
      if (error instanceof LockTimeoutError) return false
      throw error
    }
  }

  /** Lets a trim run as a job of its own. */
  #scheduleTrim(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    host.queueMicrotask(() => this.#trim())
  }
  #trim(): void {
    this.#isScheduled = false
    if (!this.#cpuState) return
    try {
      if (tryTrim(this.#cpuState.state)) return
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) {
        reportError(error)
        return
      }
    }
    // Later: meanwhile this thread may have to clean up after the owner of the lock.
    this.#isScheduled = true
    host.setTimeout(() => this.#trim(), LATER).unref?.()
  }
}

/** What the allocator of a thread works with, or that of a reaper in the name of a dead CPU. */
export function makeState(
  table: CpuTable,
  geometry: Geometry,
  tables: Tables,
  layerLock: LayerLock,
  pages: PageSource,
): AllocatorState {
  const locked = new LockedMemory(table.memory, layerLock)
  const nodes = Array.from({ length: geometry.cpus }, (_, cpu) => table.node(cpu))
  const backend: Backend = geometry.isMapped
    ? new MappedBackend(geometry, new Mapping(locked, geometry, tables.root, pages), { pages, nodes })
    : new ContiguousBackend(table.memory, geometry, { pages, nodes })
  return new AllocatorState(locked, geometry, tables, backend, pages)
}
