/** The layer: its memory, its allocator on one thread, and its part in coming, going and dying. */
import type { Alloc } from '../alloc/alloc.js'
import type { CpuTable } from '../machine/cpu-table.js'
import { OfflineError } from '../machine/errors.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import { host, reportError } from '../machine/platform.js'
import { Level, LEVEL_PERCPU } from '../sync/level.js'
import type { Sync } from '../sync/sync.js'
import { Allocator } from './allocator.js'
import type { Backend } from './backend.js'
import { balance } from './balance.js'
import { Core, type Places } from './core.js'
import { GRANULE, type Geometry } from './geometry.js'
import { ContiguousBackend } from './km.js'
import { Mapping } from './mapping.js'
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
import { Words } from './words.js'

/** What a thread has of this layer while its CPU is online. */
export interface Attached {
  readonly context: LayerContext
  readonly core: Core
  readonly allocator: Allocator
  /** Its own work under locks of this layer. */
  readonly level: Level
}

export class PercpuLayer implements Layer {
  readonly name = 'percpu'
  readonly #sync: Sync
  readonly #alloc: Alloc
  readonly #options: PercpuOptions
  #attached: Attached | undefined
  /** Where things are; also known when this thread's own CPU is offline. */
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
    const { geometry, places, first } = openRoot(context)
    // Nobody else is there yet: nothing is locked, and nothing allocated from pages.
    const level = new Level(context.table.memory, 0, 0)
    const core = makeCore(context.table, geometry, places, level, noPages)
    layOutFirstChunk(core, first, allocateUnits(context, geometry))
  }

  attach(context: LayerContext): void {
    const { machine, table } = context
    const { geometry, places, first } = (this.#opened = openRoot(context))
    const level = this.#sync.level(table, machine.cpu, machine.incarnation, LEVEL_PERCPU)
    const core = makeCore(context.table, geometry, places, level, this.#alloc.pages)
    const statistics = (core.backend.translate(first, machine.cpu, 0) ?? 0) / GRANULE
    const allocator = new Allocator(core, statistics, () => this.#schedule())
    this.#attached = {
      context,
      core,
      allocator,
      level,
    }
  }

  /** What the CPU counted for itself is folded; what it has locked for reading is unlocked. */
  detach(): void {
    if (!this.#attached) return
    const { context, core, level } = this.#attached
    const { cpu, incarnation } = context.machine
    this.#attached = undefined
    leaveAll(core, { table: context.table, ringer: context.doorbell.ringer, cpu, incarnation }, level)
  }

  /** What the dead CPU left half-done in chunks is repaired by whoever takes the lock next. */
  recover(recovery: Recovery): void {
    const { table, cpu, incarnation } = recovery
    if (!this.#opened) return
    const level = this.#sync.level(table, cpu, incarnation, LEVEL_PERCPU)
    const { geometry, places } = this.#opened
    leaveAll(makeCore(table, geometry, places, level, noPages), recovery, level)
    if (this.#attached) new SharedObjects(this.#sync, this.#attached).settle()
  }

  /** @throws OfflineError */
  use(): Attached {
    if (this.#attached) return this.#attached
    throw new OfflineError('this thread has taken its CPU offline; join the machine again to use it')
  }

  /** Counters and other objects by name. */
  get objects(): SharedObjects {
    return new SharedObjects(this.#sync, this.use())
  }

  /** Lets the balancing run as a job of its own. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    host.queueMicrotask(() => {
      this.#isScheduled = false
      try {
        if (this.#attached) balance(this.#attached.core)
      } catch (error) {
        reportError(error)
      }
    })
  }
}

const noPages: PageSource = {
  allocate: () => undefined,
  free: () => undefined,
  keep: () => undefined,
  disown: () => undefined,
}

function makeCore(
  table: CpuTable,
  geometry: Geometry,
  places: Places,
  level: Level,
  pages: PageSource,
): Core {
  const words = new Words(table.memory, level)
  const nodes = Array.from({ length: geometry.cpus }, (_, cpu) => table.node(cpu))
  const backend: Backend = geometry.isMapped
    ? new MappedBackend(table.memory, geometry, new Mapping(words, geometry, places.root), { pages, nodes })
    : new ContiguousBackend(table.memory, geometry, { pages, nodes })
  return new Core(words, geometry, places, backend, pages)
}
