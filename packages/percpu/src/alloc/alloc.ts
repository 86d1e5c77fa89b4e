/** The layer: its memory, its allocators on one thread, and its part in coming, going and dying. */
import { Memblock } from '../machine/memblock.js'
import type { CpuTable } from '../machine/cpu-table.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import { LEVEL_OBJECTS, LEVEL_PAGES, type Level } from '../sync/level.js'
import { tokenOf } from '../sync/mutex-words.js'
import type { Sync } from '../sync/sync.js'
import { Agent } from './agent.js'
import { HeapMap } from './page-map.js'
import { PageAllocator } from './pages.js'

export class Alloc implements Layer {
  readonly name = 'alloc'
  readonly #sync: Sync
  #map: HeapMap | undefined
  #pages: PageAllocator | undefined
  #agent: Agent | undefined

  /** `sync` comes up before this layer. */
  constructor(sync: Sync) {
    this.#sync = sync
  }

  boot({ machine, table }: LayerContext): void {
    HeapMap.create(machine.memory, machine.objects, table.map, 0)
  }

  attach({ machine, table }: LayerContext): void {
    this.#map = HeapMap.open(machine.memory, machine.objects, table.map)
    this.#agent = this.#makeAgent(this.#map, table, machine.cpu, machine.incarnation, false)
    this.#pages = new PageAllocator(this.#agent)
  }

  /** What the CPU had in flight ends with its stay, as it would at its death. */
  detach(): void {
    const agent = this.#agent
    if (agent?.hasUsed) end(agent)
  }

  recover({ table, cpu, incarnation }: Recovery): void {
    if (!this.#map) return
    const agent = this.#makeAgent(this.#map, table, cpu, incarnation, true)
    if (agent.hasUsed) end(agent)
  }

  get pages(): PageAllocator {
    if (!this.#pages) throw new TypeError('the alloc layer is not attached')
    return this.#pages
  }

  #makeAgent(map: HeapMap, table: CpuTable, cpu: number, incarnation: number, isReaper: boolean): Agent {
    const level = (number: number): Level => this.#sync.level(table, cpu, incarnation, number)
    return new Agent({
      memory: table.memory,
      map,
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
  pages.keepSpans()
  pages.stack.fix()
  agent.announceEnd()
  pages.drain()
  pages.sweep()
}
