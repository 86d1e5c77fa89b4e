/**
 * `machine.watch.monitor()`: asks every CPU for a sign of life at each heartbeat, and tells which
 * one does not give it.
 *
 *     heartbeat n      ping: note the time, count `watch.ping`, ring
 *     heartbeat n + 1  `watch.pong` is not that number, and blockedAfter ms have passed: 'blocked',
 *                      with the label of the work
 *     later            it is: 'recovered'; or the CPU was reaped: 'died'
 *
 * So a CPU that gets stuck is named within two heartbeats, while it is stuck, if blockedAfter is
 * not longer than the interval. A ping is sent only after the last one was answered. Parked and
 * deaf CPUs need not answer. The monitor's own CPU cannot be stuck while the monitor runs.
 *
 * Cost: a ring for each CPU and heartbeat, and on each CPU a timer. Nothing once it is stopped.
 */
import { addAtomic32, loadAtomic32, orAtomic32, storeAtomic32, storeF64 } from '#mem'
import { checkOptions, checkRange } from '../machine/check.js'
import type { Clock } from '../machine/clock.js'
import type { CpuTable } from '../cpus/cpu-table.js'
import { REASON_WATCH, type Ringer } from '../cpus/ringer.js'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { Emitter } from '../machine/events.js'
import type { CpuInspection, Inspector } from './inspect.js'
import { host, type Timer } from '../machine/platform.js'
import { CpuWatch, WATCH_TIMES } from './vpa-layout.js'
import type { WatchMap } from './watch-map.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

const { words, offsets } = CpuWatch

/** What `watch.monitor` takes. */
export interface MonitorOptions {
  /** Milliseconds between heartbeats, 1 to 60 000. Default 500. */
  readonly interval?: number
  /**
   * How long a CPU may leave a heartbeat unanswered before it is blocked, ms. Default: `interval`.
   */
  readonly blockedAfter?: number
}
/** A CPU has not answered heartbeats. */
export interface BlockedEvent {
  readonly cpu: number
  readonly incarnation: number
  /** How many heartbeats it has not answered. The first one is the one that found it silent. */
  readonly heartbeats: number
  /** What it is doing: `inspection.work` names the label. */
  readonly inspection: CpuInspection
}
/** A CPU that was blocked answers again. */
export interface RecoveredEvent {
  readonly cpu: number
  readonly incarnation: number
  /** For how long it had been silent, ms, at most a heartbeat too much. */
  readonly blockedFor: number
}
/** A CPU has been cleaned up after; its post-mortem comes with it. */
export interface DiedEvent {
  readonly cpu: number
  readonly incarnation: number
  /** What it had been doing; undefined if another thread cleaned up after it. */
  readonly postMortem: CpuInspection | undefined
}
/** What listeners of a monitor are given, by the names of the events. */
export interface MonitorEvents {
  readonly blocked: BlockedEvent
  readonly recovered: RecoveredEvent
  readonly died: DiedEvent
}

interface Watched {
  incarnation: number
  /** Heartbeats since it last answered. */
  missed: number
  pingedAt: number
  blocked: boolean
}

/** Made by `machine.watch.monitor()`. Does not keep the process alive. */
export class Monitor extends Emitter<MonitorEvents> {
  static {
    showAs(this, ({ interval, blockedAfter, heartbeats }) => ({ interval, blockedAfter, heartbeats }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly interval: number
  readonly blockedAfter: number
  readonly #table: CpuTable
  readonly #map: WatchMap
  readonly #ringer: Ringer
  readonly #cpu: number
  readonly #clock: Clock
  readonly #inspector: Inspector
  readonly #onStop: (monitor: Monitor) => void
  readonly #watched = new Map<number, Watched>()
  /** The last death of each CPU that was told. */
  readonly #deaths: number[]
  #timer: Timer | undefined
  #beats = 0
  /** ms of machine time at which the next heartbeat is due. */
  #due = Infinity
  /** The heartbeat comes so late that this thread, or all of them, stood still. */
  #isLate = false
  #isStopped = false

  /** @internal */
  constructor(parts: MonitorParts, options: MonitorOptions, onStop: (monitor: Monitor) => void) {
    super('a monitor', ['blocked', 'recovered', 'died'])
    checkOptions('monitor', options, { interval: true, blockedAfter: true })
    const { interval = 500, blockedAfter = interval } = options
    checkRange('interval', interval, 1, 60_000)
    checkRange('blockedAfter', blockedAfter, 1, 2 ** 31 - 1)
    this.interval = interval
    this.blockedAfter = blockedAfter
    this.#table = parts.own.table
    this.#map = parts.map
    this.#ringer = parts.own.doorbell.ringer
    this.#cpu = parts.own.cpu
    this.#clock = parts.clock
    this.#inspector = parts.inspector
    this.#onStop = onStop
    this.#deaths = Array.from({ length: parts.own.map.cpus }, (_, cpu) => this.#load(cpu, words.died))
    this.#beat()
  }

  /** Heartbeats so far. */
  get heartbeats(): number {
    return this.#beats
  }

  /** Ends the heartbeats. The CPUs' own timers end by themselves some beats later. */
  stop(): void {
    if (this.#timer) host.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isStopped = true
    this.#onStop(this)
  }

  /** @internal For the thread that reaps: tells of the death at once, with what the CPU left. */
  reaped(cpu: number, incarnation: number, postMortem: CpuInspection): void {
    // Told at a heartbeat already if another reaper began, and died.
    if (this.#deaths[cpu] !== incarnation) this.#tellDeath(cpu, incarnation, postMortem)
  }

  #beat(): void {
    this.#beats++
    // Others may have stood still with it: they are given one more heartbeat.
    this.#isLate = this.#clock.now() - this.#due >= this.blockedAfter
    for (let cpu = 0; cpu < this.#deaths.length; cpu++) {
      const died = this.#load(cpu, words.died)
      if (died !== this.#deaths[cpu]) this.#tellDeath(cpu, died, undefined)
    }
    for (const cpu of this.#table.online()) this.#look(cpu)
    // Stopped by a listener.
    if (this.#isStopped) return
    this.#due = this.#clock.now() + this.interval
    this.#timer = host.setTimeout(() => {
      this.#beat()
    }, this.interval)
    this.#timer.unref?.()
  }

  #look(cpu: number): void {
    const incarnation = this.#table.incarnation(cpu)
    let watched = this.#watched.get(cpu)
    if (watched?.incarnation !== incarnation) {
      watched = { incarnation, missed: 0, pingedAt: this.#clock.now(), blocked: false }
      this.#watched.set(cpu, watched)
    }
    // VG(watch.pong) pairs with VH in Heartbeat.#store: what the CPU wrote before it answered may
    // be read. Mutant: watch/pong-lags.
    if (loadAtomic32(this.#table.memory.i32, this.#word(cpu, words.pong)) === this.#load(cpu, words.ping)) {
      if (watched.blocked) {
        const blockedFor = this.#clock.now() - watched.pingedAt
        watched.blocked = false
        this.emit('recovered', { cpu, incarnation, blockedFor })
      }
      watched.missed = 0
      watched.pingedAt = this.#clock.now()
      this.#ping(cpu)
      return
    }
    watched.missed++
    if (watched.blocked || cpu === this.#cpu || this.#isLate) return
    // A timer may come up to a millisecond early.
    const blockedAfter = this.blockedAfter - 1
    const inspection = this.#inspector.cpu(cpu, { blockedAfter })
    if (inspection.activity === 'parked' || inspection.activity === 'deaf') return
    if ((inspection.silentFor ?? 0) < blockedAfter) return
    watched.blocked = true
    const { missed: heartbeats } = watched
    this.emit('blocked', {
      cpu,
      incarnation,
      heartbeats,
      inspection: { ...inspection, activity: 'blocked' },
    })
  }

  #ping(cpu: number): void {
    const { i32, f64 } = this.#table.memory
    storeF64(f64, this.#map.record(cpu) / 2 + offsets.pingAt / 8, this.#clock.now())
    // atomic: requests; the ring makes the CPU look at them (K in ring).
    storeAtomic32(i32, this.#word(cpu, words.interval), this.interval)
    if ((this.#load(cpu, words.mask) & WATCH_TIMES) === 0)
      orAtomic32(i32, this.#word(cpu, words.mask), WATCH_TIMES)
    // atomic: as above.
    addAtomic32(i32, this.#word(cpu, words.ping), 1)
    this.#ringer.ring(cpu, REASON_WATCH)
  }

  #tellDeath(cpu: number, incarnation: number, postMortem: CpuInspection | undefined): void {
    this.#deaths[cpu] = incarnation
    this.#watched.delete(cpu)
    this.emit('died', { cpu, incarnation, postMortem })
  }

  #word(cpu: number, field: number): number {
    return this.#map.record(cpu) + field
  }
  #load(cpu: number, field: number): number {
    // atomic: a snapshot.
    return loadAtomic32(this.#table.memory.i32, this.#word(cpu, field))
  }
}

export interface MonitorParts {
  readonly own: OwnCpu
  readonly map: WatchMap
  readonly clock: Clock
  readonly inspector: Inspector
}
