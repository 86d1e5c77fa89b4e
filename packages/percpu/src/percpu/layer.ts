/**
 * The layer: its memory, its allocator on one thread, and its part in coming, going and dying. A thread makes its allocator when it
 * first needs it.
 */
import type { Alloc } from '../alloc/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { OfflineError } from '../machine/errors.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import { host, reportError } from '../machine/platform.js'
import { LockHeldError, LockTimeoutError } from '../sync/errors.js'
import { Level, LEVEL_PERCPU } from '../sync/layer-lock.js'
import type { Sync } from '../sync/layer.js'
import { Allocator } from './allocator.js'
import type { Backend } from './backend.js'
import type { CpuState } from './cpu-state.js'
import { trim } from './trim.js'
import { AllocatorState, type Tables } from './state.js'
import { GRANULE, type Geometry } from './geometry.js'
import { ContiguousBackend } from './km.js'
import { Mapping } from './mapping.js'
import { repairGranules } from './operation.js'
import type { PageSource } from './pages.js'
import {
  allocateUnits,
  createRoot,
  layOutFirstChunk,
  openRoot,
  type Opened,
  planGeometry,
  type PercpuOptions,
} from './setup.js'
import { leaveAll, SharedObjects } from './shared-objects.js'
import { MappedBackend } from './vm.js'
import { LockedMemory } from './locked-memory.js'

/** Milliseconds after which balancing is tried again that found the allocator locked. */
const LATER = 1

export class PercpuLayer implements Layer {
  readonly name = 'percpu'
  readonly #sync: Sync
  readonly #alloc: Alloc
  readonly #options: PercpuOptions
  #context: LayerContext | undefined
  #attached: CpuState | undefined
  /** This thread's own CPU is offline, or about to be. */
  #hasLeft = false
  /** Where things are; from the moment of going offline on known in any case. */
  #opened: Opened | undefined
  #isScheduled = false

  /** `sync` and `alloc` come up before this layer. */
  constructor(sync: Sync, alloc: Alloc, options: PercpuOptions = {}) {
    this.#sync = sync
    this.#alloc = alloc
    this.#options = options
  }

  boot(context: LayerContext): void {
    createRoot(context, planGeometry(context.table, this.#options))
    const { geometry, tables, first } = openRoot(context)
    // Nobody else is there yet: nothing is locked, and nothing allocated from pages.
    const level = new Level(context.table.memory, 0, 0)
    const state = makeState(context.table, geometry, tables, level, noPages)
    layOutFirstChunk(state, first, allocateUnits(context, geometry))
  }

  attach(context: LayerContext): void {
    this.#context = context
  }

  /** What the CPU counted for itself is folded; what it has locked for reading is unlocked. @throws LockHeldError if there was any. */
  detach(): void {
    const attached = this.#attached
    this.forsake()
    if (!attached) return
    const { state, level, context } = attached
    const { cpu, incarnation } = context.machine
    const recovery = { table: context.table, ringer: context.doorbell.ringer, cpu, incarnation }
    const readLocks = leaveAll(state, recovery, level)
    if (readLocks === 0) return
    throw new LockHeldError(
      `CPU ${cpu} went offline with ${readLocks} read locks of reader-writer locks; they were released`,
      { cpu, readLocks },
    )
  }

  forsake(): void {
    this.#open()
    this.#attached = undefined
    this.#hasLeft = true
  }

  /** What the dead CPU left half-done is repaired here, or by whoever takes the lock next. */
  recover(recovery: Recovery): void {
    const { table, cpu, incarnation } = recovery
    const opened = this.#open()
    if (!opened) return
    const level = this.#sync.level(table, cpu, incarnation, LEVEL_PERCPU)
    const state = makeState(table, opened.geometry, opened.tables, level, noPages)
    const mayBalance = repairGranules(state)
    leaveAll(state, recovery, level)
    if (this.#hasLeft) return
    this.objects.settle()
    // The dead thread may have been about to.
    if (mayBalance) this.#schedule()
  }

  /** @throws OfflineError */
  use(): CpuState {
    return this.#attached ?? this.#attach()
  }

  #open(): Opened | undefined {
    if (this.#context) this.#opened ??= openRoot(this.#context)
    return this.#opened
  }

  #attach(): CpuState {
    const context = this.#context
    const opened = this.#open()
    if (!context || !opened) throw new TypeError('the percpu layer is not attached')
    if (this.#hasLeft) {
      const { cpu } = context.machine
      throw new OfflineError(`this thread has taken its CPU ${cpu} offline; join the machine again to use it`)
    }
    const { machine, table } = context
    const level = this.#sync.level(table, machine.cpu, machine.incarnation, LEVEL_PERCPU)
    const state = makeState(table, opened.geometry, opened.tables, level, this.#alloc.pages)
    const statistics = (state.backend.translate(opened.first, machine.cpu, 0) ?? 0) / GRANULE
    const allocator = new Allocator(state, statistics, () => this.#schedule())
    return (this.#attached = { context, state, allocator, level })
  }

  /** Counters and other objects by name. */
  get objects(): SharedObjects {
    return new SharedObjects(this.#sync, this.use())
  }

  /** Lets the balancing run as a job of its own. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    host.queueMicrotask(() => this.#balance())
  }
  #balance(): void {
    this.#isScheduled = false
    if (!this.#attached) return
    try {
      if (trim(this.#attached.state, false)) return
    } catch (error) {
      if (!(error instanceof LockTimeoutError)) {
        reportError(error)
        return
      }
    }
    // After the event loop has had a turn, in which this thread may clean up after the lock's owner.
    this.#isScheduled = true
    host.setTimeout(() => this.#balance(), LATER).unref?.()
  }
}

const noPages: PageSource = {
  allocate: () => undefined,
  free: () => undefined,
  keep: () => undefined,
  disown: () => undefined,
}

function makeState(
  table: CpuTable,
  geometry: Geometry,
  tables: Tables,
  level: Level,
  pages: PageSource,
): AllocatorState {
  const words = new LockedMemory(table.memory, level)
  const nodes = Array.from({ length: geometry.cpus }, (_, cpu) => table.node(cpu))
  const backend: Backend = geometry.isMapped
    ? new MappedBackend(table.memory, geometry, new Mapping(words, geometry, tables.root), { pages, nodes })
    : new ContiguousBackend(table.memory, geometry, { pages, nodes })
  return new AllocatorState(words, geometry, tables, backend, pages)
}
