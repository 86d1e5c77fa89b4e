/** Grace periods of `machine.watch.inspect()`, for Prometheus. */
import type { GracePeriodInspection, Inspection, Percentiles } from 'percpu'
import { Gauge, type Registry } from 'prom-client'

type Labels = 'domain' | 'flavour'

/**
 * Adds gauges of `machine.rcu` (flavour `sched`, without a domain) and of every domain. `inspect`:
 * as of the scrape.
 */
export function gracePeriodMetrics(registry: Registry, inspect: () => Inspection): void {
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    read: (set: Set<Label>, each: GracePeriodInspection, at: number) => void,
  ) =>
    new Gauge<Label | Labels>({
      name: `percpu_rcu_${name}`,
      help,
      labelNames: ['domain', 'flavour', ...labelNames],
      registers: [registry],
      collect() {
        this.reset()
        const { at, gracePeriods } = inspect()
        for (const each of gracePeriods) {
          const own = { domain: each.domain ?? '', flavour: each.flavour ?? 'sched' }
          read(
            (value, labels) => this.set({ ...own, ...labels } as Record<Label | Labels, string>, value),
            each,
            at,
          )
        }
      },
    })

  gauge('grace_periods', 'Grace periods that have ended, modulo 2^30', [], (set, { ended }) => set(ended))
  gauge('sections', 'Read sections of a domain under way', [], (set, { domain, sections }) => {
    if (domain !== undefined) set(sections)
  })
  gauge('holding_up', 'CPUs that hold up a grace period that is wanted', [], (set, { isWanted, cpus }) =>
    set(isWanted ? cpus.length : 0),
  )
  gauge('waiting_seconds', 'For how long somebody has been waiting', [], (set, { waitingSince }, at) =>
    set(waitingSince === undefined ? 0 : Math.max(0, at - waitingSince) / 1000),
  )
  gauge('oldest_section_seconds', 'Age of the oldest section, in debug mode', [], (set, { oldest }, at) => {
    if (oldest) set(Math.max(0, at - oldest.since) / 1000)
  })
  gauge('callbacks', 'Callbacks pending', ['cpu'], (set, { callbacks }) => {
    for (const [cpu, count] of callbacks.entries()) if (count > 0) set(count, { cpu: String(cpu) })
  })
  const latency = new Gauge<'kind' | 'percentile'>({
    name: 'percpu_rcu_wait_seconds',
    help: 'How long waits for grace periods took, since boot',
    labelNames: ['kind', 'percentile'],
    registers: [registry],
    collect() {
      this.reset()
      const { rcu, srcu } = inspect().waits
      percentiles(latency, 'rcu', rcu)
      percentiles(latency, 'srcu', srcu)
    },
  })
}

/** Sets a value for the grace periods that are being read. */
type Set<Label extends string> = (value: number, labels?: Readonly<Record<Label, string>>) => void

function percentiles(
  to: Gauge<'kind' | 'percentile'>,
  kind: string,
  measured: Percentiles | undefined,
): void {
  if (!measured) return
  to.set({ kind, percentile: '50' }, measured.p50 / 1000)
  to.set({ kind, percentile: '90' }, measured.p90 / 1000)
  to.set({ kind, percentile: '99' }, measured.p99 / 1000)
  to.set({ kind, percentile: '100' }, measured.max / 1000)
}
