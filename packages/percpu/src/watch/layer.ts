/**
 * VPAs as a layer of the machine: each CPU has one registered while it is online; supervisors read them. `boot` has allocated
 * an area and a log for every possible CPU.
 *
 *     attach    fills and registers the CPU's own, in state starting
 *     detach    unregisters the log, then the VPA
 *     recover   takes the post-mortem and notes the death; the supervisor unregisters when it has finished
 */
import { andAtomic32, loadAtomic32, loadF64, orAtomic32, storeAtomic32, storeU8 } from '#mem'
import { ArgumentError } from '../errors.js'
import { Clock } from '../machine/clock.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { REASON_WATCH } from '../cpus/doorbell.js'
import { OfflineError, VpaError } from '../machine/errors.js'
import { Heartbeat } from './heartbeat.js'
import { HomeNode, setHomeNode } from './home-node.js'
import { Inspector, type CpuInspection, type InspectOptions, type Inspection } from './inspect.js'
import type { Layer, LayerContext, Recovery } from '../machine/layer.js'
import { Header } from '../machine/layouts.js'
import type { LockProvider } from './deadlocks.js'
import { Monitor, type MonitorOptions } from './monitor.js'
import { CpuHandle } from './cpu-areas.js'
import { OwnVpa } from './vpa.js'
import { CpuWatch, TRACE_ALL, Vpa } from './vpa-layout.js'
import { VpaRegistry } from './vpa-registry.js'

const { words } = CpuWatch

interface Attached {
  readonly context: LayerContext
  readonly registry: VpaRegistry
  readonly own: OwnVpa
  readonly heartbeat: Heartbeat
  readonly home: HomeNode
  readonly inspector: Inspector
}

export class VpaLayer implements Layer {
  readonly name = 'vpa'
  readonly #monitors = new Set<Monitor>()
  readonly #handles = new Map<number, CpuHandle>()
  #attached: Attached | undefined
  /** Of `#attached`: one load less where it counts. */
  #own: OwnVpa | undefined
  #locks: LockProvider | undefined

  attach(context: LayerContext): void {
    const { table, doorbell, idle, machine } = context
    const { cpu, node, incarnation } = machine
    const registry = new VpaRegistry(table)
    const areas = registry.areas(cpu)
    if (!areas) throw new VpaError(`the VPA of CPU ${cpu} was given back`, { cpu })
    const own = new OwnVpa({ memory: table.memory, cpu, node, watch: table.watch(cpu), ...areas })
    const heartbeat = new Heartbeat(table, cpu, own)
    const home = new HomeNode(table, cpu, areas.vpa)
    own.prepare()
    heartbeat.prepare()
    home.refresh()
    registry.register(cpu, areas.vpa, incarnation)
    registry.registerLog(cpu, areas.log, incarnation)
    idle.watcher = own
    doorbell.onAnswer = (reasons) => {
      own.answering(reasons)
    }
    doorbell.on(REASON_WATCH, () => {
      heartbeat.answer()
      home.refresh()
    })
    this.#own = own
    this.#attached = { context, registry, own, heartbeat, home, inspector: this.#inspector(table) }
  }

  detach(): void {
    const { context, registry } = this.#use()
    this.forsake()
    registry.unregisterLog(context.machine.cpu)
    registry.unregister(context.machine.cpu)
  }

  forsake(): void {
    const { context, heartbeat } = this.#use()
    const { idle, doorbell } = context
    for (const monitor of [...this.#monitors]) monitor.stop()
    heartbeat.stop()
    idle.watcher = undefined
    doorbell.onAnswer = undefined
    for (const handle of this.#handles.values()) handle.poison()
    this.#own = undefined
    this.#attached = undefined
  }

  recover({ table, cpu, incarnation }: Recovery): void {
    // Read before any other layer changes what the dead CPU left.
    const postMortem = this.#inspector(table).cpu(cpu, { dispatches: Infinity })
    // atomic: the death of a stay, told once by each monitor.
    storeAtomic32(table.memory.i32, table.watch(cpu) + words.died, incarnation)
    for (const monitor of this.#monitors) monitor.reaped(cpu, incarnation, postMortem)
  }

  /** Set by the lock layer. */
  provideLocks(provider: LockProvider): void {
    this.#locks = provider
    if (this.#attached) this.#attached.inspector.locks = provider
  }

  /** What the calling CPU tells of itself. */
  get own(): OwnVpa {
    return this.#own ?? this.#use().own
  }
  get registry(): VpaRegistry {
    return this.#use().registry
  }
  get homeNode(): number {
    return this.#use().home.node
  }

  trace(cpus: readonly number[], mask: number): void {
    const { context } = this.#use()
    if (!Number.isInteger(mask) || mask < 0 || mask > TRACE_ALL)
      throw new ArgumentError(`mask: ${mask} is not a set of the bits up to ${TRACE_ALL}`, { mask })
    const { memory } = context.table
    for (const cpu of cpus) {
      const word = context.table.watch(cpu) + words.mask
      // atomic: requests; of two supervisors the later one counts, bit by bit.
      andAtomic32(memory.i32, word, ~(TRACE_ALL & ~mask))
      orAtomic32(memory.i32, word, mask)
      const found = new VpaRegistry(context.table).find(cpu)
      // atomic: as above. The plain copy is for a CPU that does not answer; one that does sets it right.
      if (found)
        storeU8(memory.bytes, found.vpa + Vpa.offsets.dtl_enable_mask, loadAtomic32(memory.i32, word))
      if (context.table.state(cpu) === 'online') context.doorbell.ringer.ring(cpu, REASON_WATCH)
    }
  }

  setHomeNode(cpu: number, node: number): void {
    const { context, registry } = this.#use()
    const { nodes } = context.table.map
    if (!Number.isInteger(node) || node < 0 || node >= nodes)
      throw new ArgumentError(`node: ${node} is not a node below ${nodes}`, { node, nodes })
    const changed = setHomeNode(context.table, cpu, registry.find(cpu)?.vpa, node)
    if (changed && context.table.state(cpu) === 'online') context.doorbell.ringer.ring(cpu, REASON_WATCH)
  }

  inspect(options?: InspectOptions): Inspection {
    return this.#use().inspector.inspect(options)
  }

  postMortem(cpu: number): CpuInspection | undefined {
    const { context, inspector, registry } = this.#use()
    const { table } = context
    const gone = table.thread(cpu) < 0 || table.state(cpu) === 'dead'
    if (!gone || registry.find(cpu)?.incarnation !== table.incarnation(cpu)) return undefined
    return inspector.cpu(cpu, { dispatches: Infinity })
  }

  monitor(options: MonitorOptions = {}): Monitor {
    const { context, inspector, own } = this.#use()
    const parts = {
      ...context,
      ringer: context.doorbell.ringer,
      cpu: context.machine.cpu,
      clock: own.clock,
      inspector,
    }
    const monitor = new Monitor(parts, options, (stopped) => this.#monitors.delete(stopped))
    this.#monitors.add(monitor)
    return monitor
  }

  handleOf(cpu: number): CpuHandle {
    const { table } = this.#use().context
    const known = this.#handles.get(cpu)
    if (known?.incarnation === table.incarnation(cpu)) return known
    // The stay that it was taken for is over.
    known?.poison()
    const handle = new CpuHandle(table, cpu)
    this.#handles.set(cpu, handle)
    return handle
  }

  limitCpus(limit: number): void {
    const { context, registry } = this.#use()
    const { table, machine } = context
    if (!Number.isInteger(limit) || limit < 1 || limit > table.map.cpus)
      throw new ArgumentError(`${limit} is not a number of CPUs from 1 to ${table.map.cpus}`, { limit })
    const above = table.select((cpu) => cpu >= limit)
    const withdrawn: number[] = []
    for (const cpu of above) {
      const wasPossible = table.isPossible(cpu)
      if (table.withdraw(cpu)) {
        if (wasPossible) withdrawn.push(cpu)
        continue
      }
      for (const given of withdrawn) table.restore(given)
      throw new ArgumentError(`CPU ${cpu} has a thread: it cannot be given up`, { cpu, limit })
    }
    for (const cpu of above) registry.giveBack(cpu, machine.memblock)
  }

  #inspector(table: CpuTable): Inspector {
    const epoch = loadF64(table.memory.f64, Header.offsets.epoch / 8)
    const inspector = new Inspector(table, new Clock(table.memory), epoch)
    inspector.locks = this.#locks
    return inspector
  }

  #use(): Attached {
    if (this.#attached) return this.#attached
    throw new OfflineError('this thread has taken its CPU offline; join the machine again to use it')
  }
}
