import type { Machine } from 'percpu'
import { collectDefaultMetrics, Counter, Gauge } from 'prom-client'
import { TableRefusedError } from '../errors.js'
import type { LookupPool } from '../lookup/pool.js'
import type { FirstTable } from '../table/first-table.js'
import { addGauge } from './gauge.js'
import type { ReloadOutcome } from './reload.js'
import { RequestMetrics } from './request-metrics.js'

export interface Measured {
  readonly machine: Machine
  readonly pool: LookupPool
  readonly table: FirstTable
}

/** What GET /metrics shows, but for what other threads count. Gauges are read when asked for. */
export class Metrics extends RequestMetrics {
  readonly #loads = this.counter('percpu_table_loads_total', 'Attempts to load the table', ['result'])
  readonly #loadSeconds = this.histogram(
    'percpu_table_load_seconds',
    'Time to load a table',
    [0.1, 0.5, 1, 2, 5, 10, 30],
  )

  readonly #lastLoadPublished = new Gauge({
    name: 'percpu_table_last_load_published',
    help: 'Whether the last attempt to load the table published it',
    registers: [this.registry],
  })
  readonly #lastLoadChange = new Gauge({
    name: 'percpu_table_last_load_change',
    help: 'Ranges that the last load had more than the table before it, also if it was refused',
    labelNames: ['family'],
    registers: [this.registry],
  })

  readonly #skippedLines = new Gauge({
    name: 'percpu_table_skipped_lines',
    help: 'Lines of the files that the current table was made without',
    registers: [this.registry],
  })
  readonly #loadedAt = new Gauge({
    name: 'percpu_table_loaded_timestamp_seconds',
    help: 'When the current table was published, in seconds since 1970',
    registers: [this.registry],
  })

  constructor(measured: Measured) {
    super()
    collectDefaultMetrics({ register: this.registry })
    this.#tableGauges(measured)
    this.#workerGauges(measured)
  }

  noteLoad({ table, error, change }: ReloadOutcome): void {
    const failure = error instanceof TableRefusedError ? 'refused' : 'failed'
    this.#loads.inc({ result: table ? 'published' : failure })
    if (table) {
      this.#loadSeconds.observe(table.milliseconds / 1000)
      this.#skippedLines.set(table.skipped.lines)
      this.#loadedAt.setToCurrentTime()
    }
    this.#lastLoadPublished.set(table ? 1 : 0)
    this.#lastLoadChange.reset()
    if (!change) return
    this.#lastLoadChange.set({ family: '4' }, change.ipv4)
    this.#lastLoadChange.set({ family: '6' }, change.ipv6)
  }

  #tableGauges({ machine, table }: Measured): void {
    addGauge(this.registry, 'percpu_table_rows', 'Ranges in the current table', ['family'], (gauge) => {
      gauge.set({ family: '4' }, table.summary().rows4)
      gauge.set({ family: '6' }, table.summary().rows6)
    })
    addGauge(this.registry, 'percpu_table_generation', 'How many tables have been loaded', [], (gauge) => {
      gauge.set(table.summary().generation)
    })
    addGauge(this.registry, 'percpu_table_bytes', 'Shared memory of the table', [], (gauge) => {
      gauge.set(table.summary().bytes)
    })
    addGauge(this.registry, 'percpu_memory_bytes', 'Memory of the machine', ['state'], (gauge) => {
      const { used, free } = machine.heap.memblock.report()
      gauge.set({ state: 'used' }, used)
      gauge.set({ state: 'free' }, free)
    })
    addGauge(this.registry, 'percpu_cpus_online', 'Threads that are CPUs of the machine', [], (gauge) =>
      gauge.set(machine.online.length),
    )
  }

  #workerGauges({ pool }: Measured): void {
    addGauge(this.registry, 'percpu_workers_ready', 'Workers that answer batches', [], (gauge) => {
      gauge.set(pool.workers.filter(({ cpu, isSuspended }) => cpu !== undefined && !isSuspended).length)
    })
    addGauge(this.registry, 'percpu_batches_queued', 'Parts of batches that wait for a worker', [], (gauge) =>
      gauge.set(pool.queued),
    )
    this.#perWorker(
      'percpu_worker_lookups_total',
      'Addresses answered by the workers in a place',
      pool,
      'lookups',
    )
    this.#perWorker('percpu_worker_replaced_total', 'Workers that ended unasked', pool, 'replaced')
  }

  /** The pool does the counting; a counter starts over with each reading. */
  #perWorker(name: string, help: string, pool: LookupPool, field: 'lookups' | 'replaced'): void {
    new Counter({
      name,
      help,
      labelNames: ['worker'],
      registers: [this.registry],
      collect() {
        this.reset()
        pool.workers.forEach((worker, place) => this.inc({ worker: String(place) }, worker[field]))
      },
    })
  }
}
