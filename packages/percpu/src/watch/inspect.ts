/**
 * `machine.watch.inspect()`: what every CPU is doing, read from outside, also from one that is
 * stuck or dead.
 *
 * A snapshot word by word: only single values are consistent. Reading disturbs nobody. Labels and
 * states are always there. Measurements of the CPUs themselves (utilisation, delays) are there
 * while a monitor watches.
 */
import { load32, loadAtomic32, loadBigU32, loadF64, loadU32 } from '#mem'
import { checkAtLeast, checkMilliseconds, checkOptions } from '../machine/check.js'
import { Clock } from '../machine/clock.js'
import type { CpuState, CpuTable } from '../cpus/cpu-table.js'
import type { OsThreadState } from '../machine/os-thread.js'
import { FAILED, readDispatchLog, type DispatchKind, type LogReading, type RawEntry } from './dispatch-log.js'
import { inspectGracePeriods, type GracePeriodInspection, type GracePeriodSnapshot } from './grace-periods.js'
import { percentiles, type Percentiles } from './histogram.js'
import { homeNodeOf } from './home-node.js'
import { textOf } from './labels.js'
import { Cpu, Header } from '../machine/layouts.js'
import type { LockProvider, LockState } from '../sync/lock-state.js'
import { findDeadlocks, type Deadlock } from './deadlocks.js'
import { CpuWatch, PENDING, PendingWork, Vpa } from './vpa-layout.js'
import { VpaRegistry } from './vpa-registry.js'
import type { WatchMap } from './watch-map.js'

/**
 * Labelled work under way; `since` in ms of machine time, undefined if nobody watched when it
 * began.
 */
export interface WorkInfo {
  readonly label: string
  readonly since: number | undefined
}
/** One entry of a dispatch log; times in ms of machine time. */
export interface Dispatch {
  readonly kind: DispatchKind
  readonly at: number
  readonly duration: number
  /** For work. */
  readonly label: string | undefined
  /** For parks, wakes and lock waits: the address; for doorbells the reasons, a bit each. */
  readonly subject: number
  /** The work threw, or the lock was not acquired. */
  readonly failed: boolean
}
/**
 * What can be said of a CPU. `offline`: it has no thread. `dead`: its thread died and has not been
 * cleaned up after. `blocked`: it has not answered its supervisor in time. `parked`, `deaf`: it
 * need not answer. `working`: it is inside labelled work. `live`: none of these.
 */
export type Activity = 'offline' | 'dead' | 'blocked' | 'parked' | 'deaf' | 'working' | 'live'

/** What a CPU is doing, as far as others can see. */
export interface CpuInspection {
  readonly cpu: number
  readonly node: number
  readonly homeNode: number
  readonly state: CpuState
  readonly incarnation: number
  readonly activity: Activity
  /** For how long it has not answered, ms; undefined unless an answer is outstanding. */
  readonly silentFor: number | undefined
  /**
   * Of a blocked CPU: what the operating system says of its thread. `'waiting'`: it is asleep in a
   * bare `Atomics.wait`. Undefined if the system does not tell: only Linux does, in Node.
   */
  readonly thread: OsThreadState | undefined
  /** The innermost labelled work that its thread is inside of at this moment. */
  readonly work: WorkInfo | undefined
  /** How much labelled work it has begun. */
  readonly runs: number
  /**
   * Asynchronous labelled work that has not settled; `pendingLost` is how many did not fit into the
   * list.
   */
  readonly pending: readonly WorkInfo[]
  readonly pendingLost: number
  /** Share of the last heartbeat interval in which it was busy, 0 to 1. */
  readonly utilisation: number | undefined
  /** By how many ms its heartbeats were late: the delay of its event loop. */
  readonly eventLoopDelay: Percentiles | undefined
  /** From a supervisor's ring to the answer, ms. */
  readonly doorbellLatency: Percentiles | undefined
  /** Parks, wakes and deaf stretches so far; odd inside one. */
  readonly yieldCount: number | undefined
  readonly locks: LockState
  /** The last entries of its dispatch log, oldest first. */
  readonly dispatches: readonly Dispatch[]
}
/** How long waits for grace periods took, in all threads since boot, ms. */
export interface GracePeriodWaits {
  /** For those of `machine.rcu`, also on behalf of fast domains. */
  readonly rcu: Percentiles | undefined
  /** For those of domains. */
  readonly srcu: Percentiles | undefined
}
/** What all CPUs were doing at one moment. */
export interface Inspection {
  /** Machine time, ms; and the same moment since the Unix epoch. */
  readonly at: number
  readonly unix: number
  readonly cpus: readonly CpuInspection[]
  readonly deadlocks: readonly Deadlock[]
  /** Those of `machine.rcu` first, then those of every domain. */
  readonly gracePeriods: readonly GracePeriodInspection[]
  readonly waits: GracePeriodWaits
}
/** What `watch.inspect` takes. */
export interface InspectOptions {
  /** How long a CPU may leave a ring unanswered, ms, before it is called blocked. Default 1000. */
  readonly blockedAfter?: number
  /** How many dispatches of each CPU to report, at most 84. Default 10. */
  readonly dispatches?: number
}

const { words, offsets } = CpuWatch
const noLocks: LockState = { owned: [], awaited: [] }

export class Inspector {
  readonly #table: CpuTable
  readonly #map: WatchMap
  readonly #clock: Clock
  readonly #epoch: number
  readonly #registry: VpaRegistry
  readonly #locks: LockProvider | undefined
  /** Set when all layers are attached. */
  gracePeriods: () => readonly GracePeriodSnapshot[] = () => []

  /**
   * `table`: that of the calling thread, or of a reaper. `locks`: none where locks are not looked
   * at.
   */
  constructor(table: CpuTable, map: WatchMap, locks?: LockProvider) {
    this.#table = table
    this.#map = map
    this.#clock = new Clock(table.memory)
    this.#epoch = loadF64(table.memory.f64, Header.offsets.epoch / 8)
    this.#registry = new VpaRegistry(table, map)
    this.#locks = locks
  }

  inspect(options: InspectOptions = {}): Inspection {
    checkOptions('inspect', options, { blockedAfter: true, dispatches: true })
    checkMilliseconds('blockedAfter', options.blockedAfter)
    checkAtLeast('dispatches', options.dispatches, 0)
    const at = this.#clock.now()
    const possible = this.#table.select((cpu) => this.#table.isPossible(cpu))
    const cpus = possible.map((cpu) => this.cpu(cpu, options))
    const deadlocks = findDeadlocks(new Map(cpus.map(({ cpu, locks }) => [cpu, locks])))
    const gracePeriods = inspectGracePeriods(this.gracePeriods(), this.#table, this.#map)
    const { u32 } = this.#table.memory
    const waits = {
      rcu: percentiles(u32, ...possible.map((cpu) => this.#map.record(cpu) + words.rcuWaits)),
      srcu: percentiles(u32, ...possible.map((cpu) => this.#map.record(cpu) + words.srcuWaits)),
    }
    return { at, unix: this.#epoch + at, cpus, deadlocks, gracePeriods, waits }
  }

  cpu(cpu: number, options: InspectOptions = {}): CpuInspection {
    const { blockedAfter = 1000, dispatches = 10 } = options
    const { memory } = this.#table
    const watch = this.#map.record(cpu)
    const registered = this.#registry.find(cpu)
    const info = this.#table.info(cpu)
    const present = this.#table.isPresent(cpu)
    const silentFor = present ? this.#silence(cpu) : undefined
    const isSilent = silentFor !== undefined && silentFor >= blockedAfter
    const work = present ? this.#work(watch, watch + words.label, offsets.since / 8) : undefined
    const activity = this.#activity(cpu, present, isSilent, work)
    return {
      ...info,
      homeNode: homeNodeOf(this.#table, this.#map, cpu),
      activity,
      silentFor,
      thread: activity === 'blocked' ? this.#table.osState(cpu) : undefined,
      work,
      runs: loadU32(memory.u32, watch + words.runs),
      pending: registered ? this.#pending(watch) : [],
      pendingLost: loadU32(memory.u32, watch + words.pendingLost),
      utilisation: this.#utilisation(watch, silentFor),
      eventLoopDelay: percentiles(memory.u32, watch + words.delay),
      doorbellLatency: percentiles(memory.u32, watch + words.doorbell),
      yieldCount: registered && loadBigU32(memory.bytes, registered.vpa + Vpa.offsets.yield_count),
      locks: this.#locks?.(this.#table, cpu) ?? noLocks,
      dispatches: dispatches > 0 ? this.log(cpu).entries.slice(-dispatches) : [],
    }
  }

  /** The CPU's dispatch log, or what came since an earlier reading's `next`. */
  log(cpu: number, since?: number): Omit<LogReading, 'entries'> & { readonly entries: readonly Dispatch[] } {
    const log = this.#registry.find(cpu)?.log
    if (log === undefined) return { entries: [], next: 0, lost: 0 }
    const watch = this.#map.record(cpu)
    const reading = readDispatchLog(this.#table.memory, log, watch, since)
    return { ...reading, entries: reading.entries.map((entry) => this.#dispatch(watch, entry)) }
  }

  #dispatch(watch: number, { kind, at, duration, subject, flags }: RawEntry): Dispatch {
    const isWork = kind === 'work' || kind === 'async work'
    const label = isWork ? textOf(this.#table.memory, watch, subject) : undefined
    return { kind, at, duration, label, subject: isWork ? 0 : subject, failed: (flags & FAILED) !== 0 }
  }

  #activity(cpu: number, present: boolean, silent: boolean, work: WorkInfo | undefined): Activity {
    if (!present) return 'offline'
    if (this.#table.state(cpu) === 'dead' || this.#table.thread(cpu) < 0) return 'dead'
    const { i32 } = this.#table.memory
    const record = this.#table.record(cpu)
    // atomic: snapshots.
    if (loadAtomic32(i32, record + Cpu.words.deaf) === 1) return 'deaf'
    if ((loadAtomic32(i32, record + Cpu.words.idle) & 1) === 1) return 'parked'
    if (silent) return 'blocked'
    return work ? 'working' : 'live'
  }

  /** For how long the last ping has been unanswered. */
  #silence(cpu: number): number | undefined {
    const { i32, f64 } = this.#table.memory
    const watch = this.#map.record(cpu)
    // atomic: a ping is sent only after the last one was answered, so `pingAt` is that of the one
    // outstanding.
    const outstanding = loadAtomic32(i32, watch + words.ping) !== loadAtomic32(i32, watch + words.pong)
    if (!outstanding) return undefined
    return Math.max(0, this.#clock.now() - loadF64(f64, watch / 2 + offsets.pingAt / 8))
  }

  /** A CPU that should have beaten by now has been busy ever since. */
  #utilisation(watch: number, silentFor: number | undefined): number | undefined {
    const { f64, i32 } = this.#table.memory
    const beatAt = loadF64(f64, watch / 2 + offsets.beatAt / 8)
    if (beatAt === 0) return undefined
    // atomic: what a supervisor asked for.
    const interval = loadAtomic32(i32, watch + words.interval)
    if (silentFor !== undefined && silentFor > 2 * interval) return 1
    return loadF64(f64, watch / 2 + offsets.utilisation / 8)
  }

  #work(watch: number, labelWord: number, since: number): WorkInfo | undefined {
    const { memory } = this.#table
    const label = textOf(memory, watch, load32(memory.i32, labelWord))
    return label === undefined ? undefined : { label, since: timed(loadF64(memory.f64, watch / 2 + since)) }
  }

  #pending(watch: number): WorkInfo[] {
    return Array.from({ length: PENDING }, (_, slot) => {
      const at = words.pending + (slot * PendingWork.stride) / 4
      return this.#work(watch, watch + at + PendingWork.words.label, (at + PendingWork.words.since) / 2)
    }).filter((work) => work !== undefined)
  }
}

function timed(since: number): number | undefined {
  return since > 0 ? since : undefined
}
