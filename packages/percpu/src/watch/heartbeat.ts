/**
 * Signs of life, while a supervisor asks for them.
 *
 *     watch.ping, pingAt   counted by a supervisor, which then rings; answered when `pong` is the
 *                          same number
 *     watch.interval       ms between the heartbeats that the CPU is to give by itself
 *
 * A ring makes a CPU answer and starts its heartbeat. The heartbeat is a timer that measures how
 * late it comes, which is the delay of the event loop, and which share of the time was busy. No
 * ping comes for some beats when the monitor was stopped or its thread died. Then the timer ends,
 * and takes the request for time stamps back. While nobody asks there is no timer and no cost.
 *
 * Why `ping` may wrap around: only equality is asked for. Exactly 2^32 pings, or a multiple, would
 * have to come before the CPU answers one of them.
 */
import { andAtomic32, loadAtomic32, loadF64, storeAtomic32, storeF64 } from '#mem'
import type { CpuTable } from '../cpus/cpu-table.js'
import { clear, count } from './histogram.js'
import { host, type Timer } from '../machine/platform.js'
import type { OwnVpa } from './vpa.js'
import { CpuWatch, WATCH_TIMES } from './vpa-layout.js'

const { words, offsets } = CpuWatch
/** Beats without a ping after which nobody is taken to watch any more. */
const PATIENCE = 16

export class Heartbeat {
  readonly #table: CpuTable
  readonly #watch: number
  readonly #vpa: OwnVpa
  #timer: Timer | undefined
  #interval = 0
  #due = 0
  #lastPing = 0
  #quietBeats = 0
  #window: Totals

  /** `watch`: word index of the CPU's CpuWatch. */
  constructor(table: CpuTable, watch: number, vpa: OwnVpa) {
    this.#table = table
    this.#watch = watch
    this.#vpa = vpa
    this.#window = this.#totals()
  }

  /** Before the CPU comes online: no ping of an earlier incarnation is left to answer. */
  prepare(): void {
    const { u32, f64 } = this.#table.memory
    clear(u32, this.#watch + words.delay)
    clear(u32, this.#watch + words.doorbell)
    storeF64(f64, this.#watch / 2 + offsets.beatAt / 8, 0)
    storeF64(f64, this.#watch / 2 + offsets.utilisation / 8, 0)
    this.#store(words.pong, this.#load(words.ping))
  }

  /** Answers a ring. */
  answer(): void {
    this.#vpa.refreshMask()
    const ping = this.#load(words.ping)
    if (ping === this.#load(words.pong)) return
    const { u32, f64 } = this.#table.memory
    const sent = loadF64(f64, this.#watch / 2 + offsets.pingAt / 8)
    count(u32, this.#watch + words.doorbell, this.#vpa.clock.now() - sent)
    this.#store(words.pong, ping)
    const interval = this.#load(words.interval)
    if (interval <= 0 || (this.#timer && interval === this.#interval)) return
    this.stop()
    this.#interval = interval
    this.#quietBeats = 0
    this.#window = this.#totals()
    this.#arm()
  }

  /** Ends the timer. */
  stop(): void {
    if (this.#timer) host.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(): void {
    this.#due = this.#vpa.clock.now() + this.#interval
    this.#timer = host.setTimeout(() => {
      this.#beat()
    }, this.#interval)
    this.#timer.unref?.()
  }

  #beat(): void {
    const { u32, f64 } = this.#table.memory
    const now = this.#vpa.clock.now()
    count(u32, this.#watch + words.delay, now - this.#due)
    const before = this.#window
    this.#window = this.#totals()
    storeF64(f64, this.#watch / 2 + offsets.utilisation / 8, busyShare(before, this.#window))
    storeF64(f64, this.#watch / 2 + offsets.beatAt / 8, now)
    const ping = this.#load(words.ping)
    this.#quietBeats = ping === this.#lastPing ? this.#quietBeats + 1 : 0
    this.#lastPing = ping
    if (this.#quietBeats < PATIENCE) {
      this.#arm()
      return
    }
    this.#timer = undefined
    // atomic: a request that nobody makes any more; the next ping makes it again.
    andAtomic32(this.#table.memory.i32, this.#watch + words.mask, ~WATCH_TIMES)
    this.#vpa.refreshMask()
  }

  #totals(): Totals {
    const loop = host.performance.eventLoopUtilization?.()
    const { worked, idled } = this.#vpa
    return { at: this.#vpa.clock.now(), worked, idled, active: loop?.active ?? 0, idle: loop?.idle ?? 0 }
  }
  #load(field: number): number {
    // atomic: a ping's number and interval; a ping that comes later rings once more.
    return loadAtomic32(this.#table.memory.i32, this.#watch + field)
  }
  #store(field: number, value: number): void {
    // VH(watch.pong) pairs with VG in Monitor.#look: what the CPU wrote before it answered, its
    // label above all, is as old as the answer at most. Mutant: watch/pong-lags.
    storeAtomic32(this.#table.memory.i32, this.#watch + field, value)
  }
}

interface Totals {
  readonly at: number
  readonly worked: number
  readonly idled: number
  readonly active: number
  readonly idle: number
}

/**
 * Where the host does not tell how long its event loop was active, labelled work is what counts as
 * busy.
 */
function busyShare(from: Totals, to: Totals): number {
  const loop = to.active + to.idle - from.active - from.idle
  const parked = to.idled - from.idled
  const share =
    loop > 0 ? (to.active - from.active - parked) / loop : (to.worked - from.worked) / (to.at - from.at)
  return Math.min(1, Math.max(0, share))
}
