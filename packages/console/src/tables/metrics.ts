/** What GET /metrics of a service of tables shows. Gauges are read when they are asked for. */
import type { Machine } from 'percpu'
import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client'
import { sumOf, type CollectedMetrics } from '../serve/counters.js'
import { addGauge } from '../serve/gauge.js'
import { Tallies } from '../serve/tallies.js'
import type { Table } from './table.js'

export interface MeasuredTables {
  readonly machine: Machine
  readonly tables: ReadonlyMap<string, Table>
  readonly sequence: () => number
  readonly waiting: () => number
  /** Who follows changes in this thread. */
  readonly clients: () => number
  /** Bytes of the data directory. */
  readonly logBytes: () => number
}

export type ReadResult = 'found' | 'missing'

const READS = 'percpu_table_reads_total'

/** What each thread counts that answers requests. */
export class RequestMetrics {
  readonly registry = new Registry()
  readonly #reads = new Tallies({
    ...{ registry: this.registry, name: READS },
    ...{ help: 'Keys that were asked for by GET', labelNames: ['table', 'result'] },
  })
  readonly #readsOf = new Map<string, Record<ReadResult, { count: number }>>()
  readonly writeSeconds = new Histogram({
    name: 'percpu_table_write_seconds',
    help: 'Time until a change was kept, of PUT and DELETE',
    buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
    registers: [this.registry],
  })

  /** @param clients how many follow changes in this thread */
  constructor(clients: () => number) {
    addGauge(this.registry, 'percpu_change_streams', 'Clients that follow changes', [], (each) =>
      each.set(clients()),
    )
  }

  countRead(table: string, result: ReadResult): void {
    let reads = this.#readsOf.get(table)
    if (!reads) {
      reads = {
        found: this.#reads.tally({ table, result: 'found' }),
        missing: this.#reads.tally({ table, result: 'missing' }),
      }
      this.#readsOf.set(table, reads)
    }
    reads[result].count++
  }

  /** In the form in which they can be added to those of other threads. */
  collected(): Promise<CollectedMetrics> {
    return this.registry.getMetricsAsJSON()
  }
}

/** Those of the thread that makes the changes, and of the machine. */
export class TableMetrics extends RequestMetrics {
  readonly writes = new Counter({
    name: 'percpu_table_writes_total',
    help: 'Changes that were made',
    labelNames: ['table'],
    registers: [this.registry],
  })

  constructor(measured: MeasuredTables) {
    super(measured.clients)
    const { machine, tables, sequence, waiting, logBytes } = measured
    const { registry } = this
    collectDefaultMetrics({ register: registry })
    addGauge(registry, 'percpu_table_entries', 'Keys or ranges', ['table'], (each) => {
      for (const [name, table] of tables) each.set({ table: name }, table.size)
    })
    addGauge(registry, 'percpu_table_sequence', 'Sequence number of the last change', [], (each) =>
      each.set(sequence()),
    )
    addGauge(registry, 'percpu_table_writes_waiting', 'Requests that wait for their changes', [], (each) =>
      each.set(waiting()),
    )
    addGauge(registry, 'percpu_log_bytes', 'Bytes of the data directory', [], (each) => each.set(logBytes()))
    addGauge(registry, 'percpu_memory_bytes', 'Memory of the machine', ['state'], (each) => {
      const { used, free } = machine.heap.memblock.report()
      each.set({ state: 'used' }, used)
      each.set({ state: 'free' }, free)
    })
    addGauge(registry, 'percpu_cpus_online', 'Threads that are CPUs of the machine', [], (each) =>
      each.set(machine.online.length),
    )
  }
}

/** How many keys were asked for, of what a thread has counted. */
export function readsIn(collected: CollectedMetrics): number {
  return sumOf(collected, READS)
}
