/** The layers of a machine on one thread, in the order in which they come up and clean up. */
import { AllocLayer, bootAlloc } from './alloc/layer.js'
import { MapsLayer } from './collections/map/layer.js'
import { RingLayer } from './collections/ring/layer.js'
import { RangeMapsLayer } from './collections/range/layer.js'
import { Presence } from './collections/presence.js'
import { Removal, type Removables } from './collections/removal.js'
import { BootMemory, initialiseBootMemory } from './bootmem/layer.js'
import type { AttachedLayer } from './cpus/layer.js'
import type { OwnCpu } from './cpus/own-cpu.js'
import { publishHeader } from './machine/memory-map.js'
import type { Deadline } from './machine/wait-options.js'
import { reportError } from './machine/platform.js'
import { bootNames, NamesLayer } from './names/layer.js'
import { SPACE_KINDS } from './paging/layouts.js'
import { PagingLayer } from './paging/layer.js'
import { bootPercpu, PercpuLayer } from './percpu/layer.js'
import type { PercpuOptions } from './percpu/options.js'
import { freeingOf } from './rcu/free-named.js'
import { bootRcu, RcuLayer } from './rcu/layer.js'
import type { CallbackOptions } from './rcu/options.js'
import { bootSrcu, SrcuLayer } from './rcu/srcu-layer.js'
import { bootSync, SyncLayer } from './sync/layer.js'
import { Locks } from './sync/locks.js'
import { bootWatch, WatchLayer } from './watch/layer.js'

/** What the layers are told at boot. */
export interface LayerOptions {
  /**
   * Writes of one section: entries of each CPU's undo journal, 8 bytes each; one of 64 bits takes
   * two. Default 512.
   */
  readonly journal?: number
  /**
   * True: the heap finds writes outside objects and into free ones, and labels objects; slower and
   * larger. Default false.
   */
  readonly debugHeap?: boolean
  /**
   * True: misuse of SRCU is found and told with stacks, such as ending a section twice, or waiting
   * for a domain inside a section of it; slower. Default false.
   */
  readonly debugRcu?: boolean
  /** Sizes of per-CPU memory. */
  readonly percpu?: PercpuOptions
  /** What a CPU may have pending to be freed or called, for each kind of grace period. */
  readonly callbacks?: CallbackOptions
}

export interface Layers {
  readonly bootmem: BootMemory
  readonly locks: Locks
  readonly watch: WatchLayer
  readonly alloc: AllocLayer
  readonly percpu: PercpuLayer
  readonly srcu: SrcuLayer
  readonly rcu: RcuLayer
  readonly maps: MapsLayer
  readonly rings: RingLayer
  readonly rangeMaps: RangeMapsLayer
  readonly removal: Removal
  /** Undefined on a machine without an MMU. */
  readonly paging: PagingLayer | undefined
  /** All of them, the lowest first. */
  readonly list: readonly AttachedLayer[]
}

/**
 * Attaches the calling thread, whose CPU is starting. At boot, which `options` says, each layer's
 * shared memory is made before, and the machine is published after.
 *
 * @throws ArgumentError for an option; OutOfMemoryError. Nothing is attached then.
 */
export function attachLayers(own: OwnCpu, options?: LayerOptions): Layers {
  if (options) initialiseBootMemory(own)
  const list: AttachedLayer[] = []
  try {
    return attachAll(own, list, options)
  } catch (error) {
    detachLayers(list)
    throw error
  }
}

/** Of a CPU that does not come online: whatever one layer throws, the others are detached. */
export function detachLayers(layers: readonly AttachedLayer[]): void {
  for (const layer of [...layers].reverse()) {
    try {
      layer.detach?.()
    } catch (error) {
      reportError(error)
    }
  }
}

function attachAll(own: OwnCpu, list: AttachedLayer[], options: LayerOptions | undefined): Layers {
  const attach = <Layer extends AttachedLayer>(layer: Layer): Layer => {
    list.push(layer)
    return layer
  }
  const bootmem = attach(new BootMemory(own))
  if (options) bootSync(bootmem, options.journal)
  const sync = attach(new SyncLayer(bootmem))
  const locks = new Locks(sync)
  if (options) bootWatch(bootmem)
  const watch = attach(new WatchLayer(bootmem, (table, cpu) => sync.lockState(table, cpu)))
  if (options) bootAlloc(bootmem, options.debugHeap === true)
  const alloc = attach(new AllocLayer(bootmem, sync))
  if (options) bootNames(bootmem)
  const names = attach(new NamesLayer(bootmem, sync, alloc))
  bootmem.names = names.names
  if (options) bootPercpu(bootmem, sync, options.percpu)
  const percpu = attach(new PercpuLayer(bootmem, sync, locks, alloc))
  if (options) bootSrcu(bootmem)
  const srcu = attach(new SrcuLayer(bootmem, sync, alloc, percpu))
  if (options) bootRcu(bootmem, options.callbacks)
  const rcu = attach(new RcuLayer({ context: bootmem, sync, alloc, percpu, srcu }))
  names.freeing = freeingOf(rcu, percpu, bootmem.memblock)
  const presence = new Presence(bootmem)
  const maps = attach(new MapsLayer({ context: bootmem, sync, alloc, rcu, srcu, presence }))
  const rings = attach(new RingLayer({ context: bootmem, sync, presence }))
  const rangeMaps = attach(new RangeMapsLayer({ context: bootmem, sync, alloc, percpu, srcu, rcu, presence }))
  const kinds: Removables = { map: maps, rangeMap: rangeMaps, ring: rings }
  const settle = (deadline: Deadline): Promise<void> => rcu.use().callbacks.ownBarrier(deadline)
  const removal = new Removal(bootmem, presence, kinds, settle)
  const paging = own.map.mmu
    ? attach(new PagingLayer({ context: bootmem, sync, alloc, rangeMaps, presence, removal }))
    : undefined
  if (paging) for (const kind of SPACE_KINDS) kinds[kind] = paging.removable(kind)
  watch.inspector.gracePeriods = () => [rcu.inspect(), ...srcu.inspect()]
  if (options) publishHeader(own.memory)
  return { bootmem, locks, watch, alloc, percpu, srcu, rcu, maps, rings, rangeMaps, removal, paging, list }
}
