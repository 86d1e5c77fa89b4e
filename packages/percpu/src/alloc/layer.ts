/**
 * The layer: its memory, its allocators on one thread, and its part in going and dying. A thread
 * makes its allocators when it first needs them: joining does not wait for what many never use.
 */
import { openBootMemory, type LayerContext } from '../bootmem/layer.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { tokenOf } from '../machine/token.js'
import { LAYER_OBJECTS, LAYER_PAGES, type LayerLock } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import { Owner } from './owner.js'
import { CacheTable } from './cache-table.js'
import { RED_ZONE } from './debug.js'
import { Heap } from './heap.js'
import { HeapMap } from './heap-map.js'
import { PageAllocator } from './pages.js'
import { Tags } from './tags.js'

/** At boot. `isDebug`: with red zones around each object. */
export function bootAlloc({ own, objects }: LayerContext, isDebug: boolean): void {
  HeapMap.create(own.memory, objects, own.map, isDebug ? RED_ZONE : 0)
}

export class AllocLayer implements AttachedLayer {
  readonly name = 'alloc'
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  /** Where things are; known in any case once this CPU has gone offline. */
  #map: HeapMap | undefined
  #heap: Heap | undefined
  /** Set by a layer above: frees what is due, when memory runs short. False if nothing was. */
  relieve: (() => boolean) | undefined
  /** Set by the layer of the names: addresses of what it has. */
  blocksOfNames: () => ReadonlySet<number> = () => new Set()

  constructor(context: LayerContext, sync: SyncLayer) {
    this.#context = context
    this.#sync = sync
  }

  /** What the CPU had in flight ends with its incarnation, as it would at its death. */
  detach(): void {
    const { table, cpu, incarnation } = this.#context.own
    this.#end(table, cpu, incarnation)
  }

  abandon(): void {
    this.#openMap()
  }

  recover({ table, cpu, incarnation }: Recovery): void {
    this.#end(table, cpu, incarnation)
  }

  /** For a reaper above: the tags of what the dead CPU had in flight, until this layer frees it. */
  tagsOf({ table, cpu, incarnation }: Recovery): Tags {
    const owner = this.#ownerOf(table, cpu, incarnation, true)
    return new Tags(owner, new CacheTable(owner, new PageAllocator(owner)))
  }

  /** Whether the heap was booted in debug mode. */
  get isDebug(): boolean {
    return this.#openMap().debug > 0
  }

  /** @throws OfflineError once this CPU has gone offline. */
  get heap(): Heap {
    return this.#heap ?? this.#open()
  }

  #open(): Heap {
    const { own, memblock } = this.#context
    own.assertOnline()
    const owner = this.#ownerOf(own.table, own.cpu, own.incarnation, false)
    return (this.#heap = new Heap(owner, new PageAllocator(owner), memblock, () => this.blocksOfNames()))
  }
  #openMap(): HeapMap {
    const { own, objects } = this.#context
    return (this.#map ??= HeapMap.open(own.memory, objects, own.map))
  }

  #end(table: CpuTable, cpu: number, incarnation: number): void {
    const owner = this.#ownerOf(table, cpu, incarnation, true)
    if (owner.hasUsed) end(owner)
  }

  #ownerOf(table: CpuTable, cpu: number, incarnation: number, isReaper: boolean): Owner {
    const layerLock = (layer: number): LayerLock => this.#sync.layerLock(table, cpu, incarnation, layer)
    return new Owner({
      table,
      map: this.#openMap(),
      memblock: openBootMemory(table, cpu, incarnation).memblock,
      cpu,
      token: tokenOf(cpu, incarnation),
      pageLock: layerLock(LAYER_PAGES),
      objectLock: layerLock(LAYER_OBJECTS),
      isReaper,
      relieve: () => !isReaper && (this.relieve?.() ?? false),
    })
  }
}

/** The end of an incarnation. Every step can be repeated. */
function end(owner: Owner): void {
  const pages = new PageAllocator(owner)
  const caches = new CacheTable(owner, pages)
  pages.zones.persistSpans()
  caches.persistLinked()
  // First no free page or object looks in flight any more, then what is in flight is freed.
  pages.stack.clearTags()
  const all = caches.all()
  for (const cache of all) cache.clearTags()
  for (const cache of all) cache.emptyMagazine()
  for (const cache of all) cache.sweep()
  pages.trim()
  pages.zones.sweep()
  owner.announceEnd()
}
