/**
 * The layer: its memory, its allocators on one thread, and its part in coming, going and dying. A thread makes its allocators when it
 * first needs them: joining is not to wait for what many threads never use.
 */
import { Memblock } from '../bootmem/memblock.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import { LEVEL_OBJECTS, LEVEL_PAGES, type Level } from '../sync/layer-lock.js'
import { tokenOf } from '../machine/token.js'
import type { Sync } from '../sync/layer.js'
import { Agent } from './agent.js'
import { CacheTable } from './cache-table.js'
import { RED_ZONE } from './debug.js'
import { Heap } from './heap.js'
import { HeapMap } from './page-map.js'
import { PageAllocator } from './pages.js'

export class Alloc implements Layer {
  readonly name = 'alloc'
  readonly #sync: Sync
  #context: LayerContext | undefined
  /** Where things are; from the moment of going offline on known in any case. */
  #map: HeapMap | undefined
  readonly #isDebug: boolean
  #parts: { readonly pages: PageAllocator; readonly heap: Heap } | undefined

  /** `sync` comes up before this layer. `isDebug` counts on the booting thread. */
  constructor(sync: Sync, isDebug = false) {
    this.#sync = sync
    this.#isDebug = isDebug
  }

  boot({ machine, table }: LayerContext): void {
    HeapMap.create(machine.memory, machine.objects, table.map, this.#isDebug ? RED_ZONE : 0)
  }

  attach(context: LayerContext): void {
    this.#context = context
  }

  /** What the CPU had in flight ends with its stay, as it would at its death. */
  detach(): void {
    if (!this.#context) return
    const { machine, table } = this.#context
    this.#end(table, machine.cpu, machine.incarnation)
  }

  forsake(): void {
    if (this.#context) this.#openMap()
  }

  recover({ table, cpu, incarnation }: Recovery): void {
    if (this.#context) this.#end(table, cpu, incarnation)
  }

  get pages(): PageAllocator {
    return (this.#parts ?? this.#open()).pages
  }
  get heap(): Heap {
    return (this.#parts ?? this.#open()).heap
  }

  #open(): { readonly pages: PageAllocator; readonly heap: Heap } {
    const { machine, table } = this.#attached()
    const agent = this.#makeAgent(table, machine.cpu, machine.incarnation, false)
    const pages = new PageAllocator(agent)
    return (this.#parts = { pages, heap: new Heap(agent, pages) })
  }
  #openMap(): HeapMap {
    const { machine, table } = this.#attached()
    return (this.#map ??= HeapMap.open(machine.memory, machine.objects, table.map))
  }
  #attached(): LayerContext {
    if (!this.#context) throw new TypeError('the alloc layer is not attached')
    return this.#context
  }

  #end(table: CpuTable, cpu: number, incarnation: number): void {
    const agent = this.#makeAgent(table, cpu, incarnation, true)
    if (agent.hasUsed) end(agent)
  }

  #makeAgent(table: CpuTable, cpu: number, incarnation: number, isReaper: boolean): Agent {
    const level = (number: number): Level => this.#sync.level(table, cpu, incarnation, number)
    return new Agent({
      memory: table.memory,
      map: this.#openMap(),
      memblock: new Memblock(table.memory, table.map, cpu, incarnation),
      cpu,
      node: table.node(cpu),
      incarnation,
      token: tokenOf(cpu, incarnation),
      pageLevel: level(LEVEL_PAGES),
      objectLevel: level(LEVEL_OBJECTS),
      isReaper,
    })
  }
}

/** The end of a stay. Every step can be repeated. */
function end(agent: Agent): void {
  const pages = new PageAllocator(agent)
  const caches = new CacheTable(agent, pages)
  pages.keepSpans()
  caches.keepLinked()
  pages.stack.fix()
  const all = caches.all()
  for (const cache of all) cache.fix()
  for (const cache of all) cache.drain()
  for (const cache of all) cache.sweep()
  pages.drain()
  pages.sweep()
  agent.announceEnd()
}
