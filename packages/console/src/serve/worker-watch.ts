/**
 * Looks after the pool's workers: names one that is stuck while it is stuck, and has it replaced if
 * it stays so.
 *
 *     a heartbeat unanswered     logged with the label of its work; it gets no more batches
 *     it answers                 it gets batches again
 *     silent for `patience`      its thread is ended; the pool cleans up, starts another worker,
 *                                and gives the batches to others
 *
 * A batch of any length answers heartbeats in between (see batch-worker.ts), so silence means that
 * something does not end, or that the thread gets no processor time. It is counted in heartbeats of
 * this thread: a process that was stopped for an hour and goes on has missed one.
 */
import type { BlockedEvent, DiedEvent, Machine, Monitor } from 'percpu'
import type { Logger } from 'pino'
import type { LookupPool } from '../lookup/pool.js'

/** Milliseconds between heartbeats, unless the patience is less than two of them. */
const HEARTBEAT = 1000

interface Stuck {
  readonly cpu: number
  readonly work: string | undefined
  /** Heartbeats for which it has been silent. */
  heartbeats: number
}

export class WorkerWatch {
  readonly #pool: LookupPool
  readonly #logger: Logger
  readonly #machine: Machine
  readonly #monitor: Monitor
  /** Heartbeats in a row that a worker may leave unanswered. */
  readonly #limit: number
  /** By place. */
  readonly #stuck = new Map<number, Stuck>()
  #timer: NodeJS.Timeout | undefined
  #expectsDeaths = false

  /** `patience`: how long a worker may give no sign of life, ms; a heartbeat more or less. */
  constructor(machine: Machine, pool: LookupPool, patience: number, logger: Logger) {
    this.#pool = pool
    this.#logger = logger
    this.#machine = machine
    const interval = Math.max(1, Math.min(HEARTBEAT, Math.floor(patience / 2)))
    this.#limit = Math.ceil(patience / interval)
    const monitor = machine.watch.monitor({ interval })
    monitor.on('blocked', (event) => this.#isBlocked(event))
    monitor.on('recovered', ({ cpu, blockedFor }) => this.#hasRecovered(cpu, blockedFor))
    monitor.on('died', (event) => this.#died(event))
    pool.on('lost', ({ place }) => this.#stuck.delete(place))
    this.#monitor = monitor
  }

  /** From now on threads are ended on purpose: their deaths are no news. */
  expectDeaths(): void {
    this.#expectsDeaths = true
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#monitor.stop()
  }

  #isBlocked({ cpu, heartbeats, inspection: { work } }: BlockedEvent): void {
    const place = this.#pool.suspend(cpu)
    // What is no worker reads a table, and computes for long: nobody waits for it.
    const level = place === undefined ? 'debug' : 'warn'
    this.#logger[level]({ worker: place, cpu, work: work?.label, heartbeats }, 'a thread is stuck')
    if (place === undefined) return
    this.#stuck.set(place, { cpu, work: work?.label, heartbeats: 1 })
    this.#timer ??= setInterval(() => this.#count(), this.#monitor.interval).unref()
  }

  #hasRecovered(cpu: number, blockedFor: number): void {
    const place = this.#pool.resume(cpu)
    if (place !== undefined) this.#stuck.delete(place)
    const seconds = Math.round(blockedFor) / 1000
    this.#logger.info({ worker: place, cpu, seconds }, 'a thread that was stuck goes on')
  }

  #died({ cpu, postMortem }: DiedEvent): void {
    if (this.#expectsDeaths) return
    this.#logger.warn({ cpu, work: postMortem?.work?.label }, 'a thread died on its CPU')
  }

  #count(): void {
    for (const [place, stuck] of this.#stuck) {
      if (this.#answered(stuck.cpu) || ++stuck.heartbeats < this.#limit) continue
      this.#stuck.delete(place)
      const { cpu, work, heartbeats } = stuck
      this.#logger.error({ worker: place, cpu, work, heartbeats }, 'a worker stays stuck: it is replaced')
      void this.#pool.replace(place)
    }
    if (this.#stuck.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Whether it has answered since the last heartbeat, which the monitor tells at its next one. */
  #answered(cpu: number): boolean {
    const { cpus } = this.#machine.watch.inspect({ dispatches: 0 })
    return cpus.find((candidate) => candidate.cpu === cpu)?.silentFor === undefined
  }
}
