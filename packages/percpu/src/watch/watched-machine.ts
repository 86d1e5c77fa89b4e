import { checkFunction, checkText } from '../machine/check.js'
import type { CpuInspection, InspectOptions, Inspection } from './inspect.js'
import type { Layer } from '../machine/layer.js'
import { Machine, type Cpus, type MachineParts } from '../machine.js'
import type { Monitor, MonitorOptions } from './monitor.js'
import type { CpuHandle } from './cpu-areas.js'
import type { VpaLayer } from './layer.js'
import type { VpaRegistry } from './vpa-registry.js'

/** The machine with what its VPAs give: labelled work, and a look at every CPU from outside. */
export class WatchedMachine extends Machine {
  readonly #vpa: VpaLayer

  /** @internal `layers` begins with `vpa`. */
  constructor(parts: MachineParts, vpa: VpaLayer, layers: readonly Layer[]) {
    super(parts, layers)
    this.#vpa = vpa
  }

  /**
   * Runs `work` under a label, which everybody can see while it runs, also when it never returns. If `work` returns a promise, it is listed as
   * pending until that settles, and a promise with the same outcome is returned. May be nested. A CPU has at most 128 labels, of 44
   * bytes of UTF-8; they are not for values that differ each time.
   *
   * Cost: a few ns; while the work is traced or monitored two clock readings more.
   */
  run<Result>(label: string, work: () => Result): Result {
    if (typeof label !== 'string' || typeof work !== 'function') checkWork(label, work)
    return this.#vpa.own.run(label, work)
  }

  /**
   * Which entries these CPUs are to write into their dispatch logs: a set of `TRACE_PARKS`, `TRACE_WORK`, `TRACE_DOORBELLS` and
   * `TRACE_LOCKS`; 0 for none. Stays until it is changed, also for the next threads that are these CPUs.
   */
  trace(cpus: Cpus, mask: number): void {
    this.#vpa.trace(this.checkCpus(cpus), mask)
  }

  /** What every CPU is doing. Only reads: of a CPU that is stuck or dead as well. */
  inspect(options?: InspectOptions): Inspection {
    return this.#vpa.inspect(options)
  }

  /** Starts to ask the CPUs for signs of life, and tells of those that are blocked, recovered or died, until it is stopped. */
  monitor(options?: MonitorOptions): Monitor {
    return this.#vpa.monitor(options)
  }

  /** What a CPU left whose thread died, as long as it has not been cleaned up after; undefined afterwards, or if it lives. */
  postMortem(cpu: number): CpuInspection | undefined {
    const [checked = cpu] = this.checkCpus(cpu)
    return this.#vpa.postMortem(checked)
  }

  /** Where the data of a CPU is, as long as its present stay lasts; poison afterwards, also after this thread went offline. */
  handleOf(cpu: number): CpuHandle {
    const [checked = cpu] = this.checkCpus(cpu)
    return this.#vpa.handleOf(checked)
  }

  /** This CPU's home node, as supervisors last said; a plain load unless it changed. At first its `node`. */
  get homeNode(): number {
    return this.#vpa.homeNode
  }
  /** Tells a CPU that its home is another node now. */
  setHomeNode(cpu: number, node: number): void {
    const [checked = cpu] = this.checkCpus(cpu)
    this.#vpa.setHomeNode(checked, node)
  }

  /**
   * Gives up the CPUs from number `limit` on, none of which may have a thread, and returns the memory of their VPAs and
   * logs. For good: they are not possible any more. If the calling thread dies half-way, calling it again finishes the job.
   *
   * @throws ArgumentError if one of them has a thread; all stay possible then.
   */
  limitCpus(limit: number): void {
    this.#vpa.limitCpus(limit)
  }

  /** The supervisor's side of the registrations: each CPU registers its own VPA and log when it comes online. */
  get vpas(): VpaRegistry {
    return this.#vpa.registry
  }
}

function checkWork(label: unknown, work: unknown): void {
  checkText('label', label ?? null)
  checkFunction('work', work)
}
