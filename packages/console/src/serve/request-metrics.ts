/** What each thread counts that answers requests for addresses. */
import { Counter, Histogram, Registry } from 'prom-client'
import { sumOf, type CollectedMetrics } from './counters.js'
import { DurationTally, Tallies } from './tallies.js'

export type SingleResult = 'found' | 'gap' | 'refused'
export type BatchOutcome = 'complete' | 'refused' | 'aborted' | 'failed'

const LOOKUPS = 'percpu_lookups_total'

export class RequestMetrics {
  readonly registry = new Registry()

  /** Addresses answered, by the path they came on. */
  readonly #lookups = new Tallies({
    ...{ registry: this.registry, name: LOOKUPS },
    ...{ help: 'Addresses looked up', labelNames: ['path', 'result'] },
  })
  readonly #singles = {
    found: this.#lookups.tally({ path: 'single', result: 'found' }),
    gap: this.#lookups.tally({ path: 'single', result: 'gap' }),
    refused: this.#lookups.tally({ path: 'single', result: 'refused' }),
  }
  readonly #answered = this.#lookups.tally({ path: 'batch', result: 'answered' })
  readonly batches = this.counter('percpu_batches_total', 'POST /lookup requests', ['outcome'])
  readonly #singleSeconds = new DurationTally(
    this.registry,
    'percpu_lookup_seconds',
    'Time to answer GET /lookup',
    [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025],
  )
  readonly batchSeconds = this.histogram(
    'percpu_batch_seconds',
    'Time from the first to the last byte of POST /lookup',
    [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 25, 100],
  )

  /** @param began when the request was begun to be answered, as `performance.now` tells */
  countSingle(result: SingleResult, began: number): void {
    this.#singles[result].count++
    this.#singleSeconds.observe((performance.now() - began) / 1000)
  }
  /** @param answered addresses of a POST, bad ones included */
  countBatch(answered: number): void {
    this.#answered.count += answered
  }

  /** In the form in which they can be added to those of other threads. */
  collected(): Promise<CollectedMetrics> {
    return this.registry.getMetricsAsJSON()
  }

  protected counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name, help, labelNames, registers: [this.registry] })
  }
  protected histogram(name: string, help: string, buckets: number[]): Histogram {
    return new Histogram({ name, help, buckets, registers: [this.registry] })
  }
}

/** Addresses of GET /lookup, of what a thread has counted. */
export function singleLookupsIn(collected: CollectedMetrics): number {
  return sumOf(collected, LOOKUPS, { path: 'single' })
}
