/**
 * Counting in some 10 ns, for what is done for each request: it becomes a metric when that is asked
 * for. A counter or a histogram with labels takes up to a microsecond each time.
 */
import { Counter, type Metric, type Registry } from 'prom-client'

export interface TalliesOptions<Label extends string> {
  readonly registry: Registry
  readonly name: string
  readonly help: string
  readonly labelNames: readonly Label[]
}

/** Counts of a counter with labels. */
export class Tallies<Label extends string> {
  readonly counter: Counter<Label>
  readonly #tallies: Tally<Label>[] = []

  constructor({ registry, name, help, labelNames }: TalliesOptions<Label>) {
    this.counter = new Counter({
      ...{ name, help, labelNames: [...labelNames] },
      registers: [registry],
      collect: () => this.#hand(),
    })
  }

  /** That of these labels; asked for once. */
  tally(labels: Readonly<Record<Label, string>>): Tally<Label> {
    const tally = { labels, count: 0 }
    this.#tallies.push(tally)
    return tally
  }

  #hand(): void {
    for (const tally of this.#tallies) {
      if (tally.count === 0) continue
      this.counter.inc({ ...tally.labels }, tally.count)
      tally.count = 0
    }
  }
}
/** `count` is what has been counted since the counter was asked for. */
export interface Tally<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>
  count: number
}

/** A histogram without labels, of durations. */
export class DurationTally {
  readonly #bounds: readonly number[]
  /** How many were within each bound and above the one before; the last: above all. */
  readonly #counts: Float64Array
  #sum = 0

  /** @param bounds seconds, ascending */
  constructor(registry: Registry, name: string, help: string, bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
    const metric = {
      ...{ name, help },
      get: () =>
        Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values: this.#values(name) }),
      reset: () => this.#reset(),
    }
    registry.registerMetric(metric as unknown as Metric)
  }

  observe(seconds: number): void {
    const bounds = this.#bounds
    let at = 0
    while (at < bounds.length && seconds > (bounds[at] as number)) at++
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += seconds
  }

  /** As a histogram of prom-client has them: each bound counts what is below it, too. */
  #values(name: string): readonly object[] {
    let count = 0
    const buckets = [...this.#bounds, '+Inf'].map((le, at) => {
      count += this.#counts[at] as number
      return { labels: { le }, value: count, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels: {}, value: this.#sum, metricName: `${name}_sum` },
      { labels: {}, value: count, metricName: `${name}_count` },
    ]
  }
  #reset(): void {
    this.#counts.fill(0)
    this.#sum = 0
  }
}
