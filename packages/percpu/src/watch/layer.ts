/**
 * VPAs as a layer: each CPU has one registered while it is online; supervisors read them. Boot
 * allocates an area and a log for every possible CPU.
 *
 *     attach    fills and registers the CPU's own, in state starting
 *     detach    unregisters the log, then the VPA
 *     examine   takes the post-mortem and notes the death
 *     release   unregisters what the dead CPU had registered
 */
import { storeAtomic32 } from '#mem'
import type { LayerContext } from '../bootmem/layer.js'
import { REASON_WATCH } from '../cpus/ringer.js'
import { tellUsers, type AttachedLayer, type Recovery } from '../cpus/layer.js'
import { array, struct } from '../layout/index.js'
import { VpaError } from '../machine/errors.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import type { LockProvider } from '../sync/lock-state.js'
import { CpuAreas } from './cpu-areas.js'
import { Heartbeat } from './heartbeat.js'
import { HomeNode } from './home-node.js'
import { Inspector, type CpuInspection } from './inspect.js'
import type { Monitor } from './monitor.js'
import { OwnVpa } from './vpa.js'
import { CpuWatch, DispatchEntry, LOG_ENTRIES, Vpa } from './vpa-layout.js'
import { VpaRegistry } from './vpa-registry.js'
import { WaitRecords } from './wait-records.js'
import { WatchMap } from './watch-map.js'

const { words } = CpuWatch
const Log = struct('DispatchLog', { entries: array(DispatchEntry, LOG_ENTRIES) })

/** At boot: an area and a log for every possible CPU. */
export function bootWatch(context: LayerContext): void {
  const map = WatchMap.create(context)
  new VpaRegistry(context.own.table, map).allocate(context.memblock)
}

export class WatchLayer implements AttachedLayer {
  readonly name = 'watch'
  readonly context: LayerContext
  readonly map: WatchMap
  readonly registry: VpaRegistry
  readonly inspector: Inspector
  readonly home: HomeNode
  /** Those of this thread that run; a monitor that stops takes itself out. */
  readonly monitors = new Set<Monitor>()
  /** What the calling CPU tells of itself; undefined once it has left. */
  own: OwnVpa | undefined
  readonly #locks: LockProvider
  readonly #heartbeat: Heartbeat
  readonly #areas = new Map<number, CpuAreas>()
  /** Of the CPUs that this thread is cleaning up after. */
  readonly #postMortems = new Map<number, CpuInspection>()

  /** Registers the CPU's own VPA and log. @throws VpaError. */
  constructor(context: LayerContext, locks: LockProvider) {
    const { table, doorbell, gracePeriods, idle, cpu, node, incarnation } = context.own
    this.context = context
    this.#locks = locks
    this.map = WatchMap.open(context)
    this.registry = new VpaRegistry(table, this.map)
    const areas = this.registry.areas(cpu)
    if (!areas) throw new VpaError(`the VPA of CPU ${cpu} was given back`, { cpu })
    const watch = this.map.record(cpu)
    const own = new OwnVpa({ memory: table.memory, cpu, node, watch, ...areas })
    this.own = own
    this.#heartbeat = new Heartbeat(table, watch, own)
    this.home = new HomeNode(table, watch, areas.vpa)
    this.inspector = new Inspector(table, this.map, locks)
    own.prepare()
    this.#heartbeat.prepare()
    this.home.refresh()
    this.registry.register(cpu, areas.vpa, incarnation)
    this.registry.registerLog(cpu, areas.log, incarnation)
    idle.watcher = own
    gracePeriods.stalls.recorder = new WaitRecords(table.memory, watch, incarnation, own.clock)
    doorbell.onAnswer = (reasons) => own.answering(reasons)
    doorbell.on(REASON_WATCH, () => {
      this.#heartbeat.answer()
      this.home.refresh()
    })
  }

  detach(): void {
    this.abandon()
    this.registry.unregisterLog(this.context.own.cpu)
    this.registry.unregister(this.context.own.cpu)
  }

  abandon(): void {
    const { idle, doorbell, gracePeriods } = this.context.own
    for (const monitor of [...this.monitors]) monitor.stop()
    this.#heartbeat.stop()
    idle.watcher = undefined
    gracePeriods.stalls.recorder = undefined
    doorbell.onAnswer = undefined
    for (const areas of this.#areas.values()) areas.poison()
    this.own?.end()
    this.own = undefined
  }

  examine(recovery: Recovery): void {
    const { table, cpu, incarnation } = recovery
    const inspector = new Inspector(table, this.map, this.#locks)
    const postMortem = inspector.cpu(cpu, { dispatches: Infinity })
    this.#postMortems.set(cpu, postMortem)
    // atomic: the death of an incarnation, told once by each monitor.
    storeAtomic32(table.memory.i32, this.map.record(cpu) + words.died, incarnation)
    tellUsers(recovery, () => {
      for (const monitor of this.monitors) monitor.reaped(cpu, incarnation, postMortem)
    })
  }

  /** Until here the dead CPU's VPA could be read. */
  release({ table, cpu, incarnation }: Recovery): void {
    this.#postMortems.delete(cpu)
    new VpaRegistry(table, this.map).unregisterDead(cpu, incarnation)
  }

  /** What a CPU left that this thread is cleaning up after. */
  postMortemOf(cpu: number): CpuInspection | undefined {
    return this.#postMortems.get(cpu)
  }

  giveUp(cpu: number): void {
    this.registry.giveBack(cpu, this.context.memblock)
  }

  areasOf(cpu: number): CpuAreas {
    const { table } = this.context.own
    const known = this.#areas.get(cpu)
    if (known?.incarnation === table.incarnation(cpu)) return known
    // The incarnation that it was made for is over.
    known?.poison()
    const areas = new CpuAreas(table, this.map, cpu)
    this.#areas.set(cpu, areas)
    return areas
  }

  structs(): readonly PlacedStruct[] {
    const { cpus } = this.context.own.map
    const placed = this.map.structs(cpus)
    for (let cpu = 0; cpu < cpus; cpu++) {
      const areas = this.registry.areas(cpu)
      if (areas === undefined) continue
      placed.push({ name: `cpu[${cpu}].vpa`, address: areas.vpa, struct: Vpa })
      placed.push({ name: `cpu[${cpu}].log`, address: areas.log, struct: Log })
    }
    return placed
  }
}
