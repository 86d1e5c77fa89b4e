import { andAtomic32, loadAtomic32, orAtomic32, storeU8 } from '#mem'
import { REASON_WATCH } from '../cpus/ringer.js'
import type { AttachedLayer } from '../cpus/layer.js'
import type { CpuSet, OwnCpu } from '../cpus/own-cpu.js'
import { checkRange } from '../machine/check.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import type { CpuAreas } from './cpu-areas.js'
import { setHomeNode } from './home-node.js'
import type { CpuInspection, InspectOptions, Inspection } from './inspect.js'
import type { WatchLayer } from './layer.js'
import { Monitor, type MonitorOptions } from './monitor.js'
import { CpuWatch, TRACE_ALL, Vpa } from './vpa-layout.js'
import type { Registrations } from './vpa-registry.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

const { words } = CpuWatch

/** `machine.watch`: a look at every CPU from outside, also at one that is stuck or dead. */
export class Watch {
  static {
    showAs(this, ({ homeNode }) => ({ homeNode }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly #layer: WatchLayer
  readonly #own: OwnCpu
  readonly #layers: readonly AttachedLayer[]

  /** @internal `layers`: all of the machine's, for {@link structs}. */
  constructor(layer: WatchLayer, layers: readonly AttachedLayer[]) {
    this.#layer = layer
    this.#own = layer.context.own
    this.#layers = layers
  }

  /**
   * What every CPU is doing. Only reads. Cost: some µs a CPU.
   *
   * @throws ArgumentError; OfflineError.
   */
  inspect(options?: InspectOptions): Inspection {
    this.#own.assertOnline()
    return this.#layer.inspector.inspect(options)
  }

  /**
   * Starts to ask the CPUs for signs of life, and tells of those that are blocked, recovered or
   * died, until the monitor is stopped.
   *
   * @throws ArgumentError; OfflineError.
   */
  monitor(options: MonitorOptions = {}): Monitor {
    const { map, inspector, monitors } = this.#layer
    const parts = { own: this.#own, clock: this.#ownVpa.clock, map, inspector }
    const monitor = new Monitor(parts, options, (stopped) => monitors.delete(stopped))
    monitors.add(monitor)
    return monitor
  }

  /**
   * Which entries these CPUs are to write into their dispatch logs: a set of `TRACE_PARKS`,
   * `TRACE_WORK`, `TRACE_DOORBELLS` and `TRACE_LOCKS`; 0 for none. Stays until it is changed, also
   * for the next threads that are these CPUs.
   *
   * @throws ArgumentError for a CPU that is not possible or another bit; OfflineError.
   */
  trace(cpus: CpuSet, mask: number): void {
    const checked = this.#own.checkCpus(cpus)
    checkRange('mask', mask, 0, TRACE_ALL)
    const { memory } = this.#own
    for (const cpu of checked) {
      const word = this.#layer.map.record(cpu) + words.mask
      // atomic: requests; of two supervisors the later one counts, bit by bit.
      andAtomic32(memory.i32, word, ~(TRACE_ALL & ~mask))
      orAtomic32(memory.i32, word, mask)
      const found = this.#layer.registry.find(cpu)
      // atomic: as above. The plain copy is for a CPU that does not answer; one that does sets it
      // right.
      if (found)
        storeU8(memory.bytes, found.vpa + Vpa.offsets.dtl_enable_mask, loadAtomic32(memory.i32, word))
      this.#ring(cpu)
    }
  }

  /**
   * What a CPU left whose thread died, as long as it has not been cleaned up after; undefined
   * afterwards, or if it lives.
   *
   * @throws ArgumentError for a CPU that is not possible; OfflineError.
   */
  postMortem(cpu: number): CpuInspection | undefined {
    const checked = this.#own.checkCpu(cpu)
    const { table } = this.#own
    const { inspector, registry } = this.#layer
    const isGone = table.thread(checked) < 0 || table.state(checked) === 'dead'
    if (!isGone || registry.find(checked)?.incarnation !== table.incarnation(checked)) return undefined
    return inspector.cpu(checked, { dispatches: Infinity })
  }

  /**
   * Where the areas of a CPU are, as long as its present incarnation lasts; poison afterwards, also
   * after this thread went offline.
   *
   * @throws ArgumentError for a CPU that is not possible; OfflineError.
   */
  areasOf(cpu: number): CpuAreas {
    return this.#layer.areasOf(this.#own.checkCpu(cpu))
  }

  /**
   * This CPU's home node, as supervisors last said; at first its `node`. Cost: a plain load unless
   * it changed.
   *
   * @throws OfflineError.
   */
  get homeNode(): number {
    this.#own.assertOnline()
    return this.#layer.home.node
  }
  /**
   * Tells a CPU that its home is another node now. (After PAPR's VPHN.)
   *
   * @throws ArgumentError for a CPU that is not possible, or no node; OfflineError.
   */
  setHomeNode(cpu: number, node: number): void {
    const checked = this.#own.checkCpu(cpu)
    const { table } = this.#own
    const { nodes } = table.map
    checkRange('node', node, 0, nodes - 1)
    const { map, registry } = this.#layer
    if (setHomeNode(table, map, checked, registry.find(checked)?.vpa, node)) this.#ring(checked)
  }

  /**
   * The supervisor's side of the registrations: each CPU registers its own VPA and log when it
   * comes online.
   *
   * @throws OfflineError.
   */
  get registrations(): Registrations {
    this.#own.assertOnline()
    return this.#layer.registry
  }

  /**
   * Which of the library's structs lies where in the memory, for tools that show memory. Objects of
   * users are not listed.
   *
   * @throws OfflineError.
   */
  structs(): readonly PlacedStruct[] {
    this.#own.assertOnline()
    return [...this.#own.structs(), ...this.#layers.flatMap((layer) => layer.structs?.() ?? [])]
  }

  get #ownVpa(): NonNullable<WatchLayer['own']> {
    const { own } = this.#layer
    if (own) return own
    throw this.#own.offlineError()
  }
  #ring(cpu: number): void {
    const { table, doorbell } = this.#own
    if (table.state(cpu) === 'online') doorbell.ringer.ring(cpu, REASON_WATCH)
  }
}
