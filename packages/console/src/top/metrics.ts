/** What `machine.watch.inspect()` shows, for Prometheus. Read when it is asked for. */
import type { CpuInspection, Inspection, Machine, Percentiles } from 'percpu'
import { Gauge, type Registry } from 'prom-client'
import { gracePeriodMetrics } from './grace-period-metrics.js'

const activities = ['blocked', 'dead', 'deaf', 'live', 'parked', 'working'] as const

/**
 * Adds gauges of every CPU that has a thread, and of grace periods. Utilisation and delays are
 * there while a monitor of the machine runs.
 */
export function inspectionMetrics(registry: Registry, machine: Machine, blockedAfter = 1000): void {
  // One inspection serves all gauges of a scrape, which are read in one synchronous stretch or
  // close to it.
  let inspected: { readonly at: number; readonly inspection: Inspection } | undefined
  const inspect = () => {
    const now = performance.now()
    if (!inspected || now - inspected.at > 50)
      inspected = { at: now, inspection: machine.watch.inspect({ blockedAfter, dispatches: 0 }) }
    return inspected.inspection
  }
  const cpus = () => inspect().cpus.filter(({ activity }) => activity !== 'offline')
  const gauge = <Label extends string>(
    name: string,
    help: string,
    labelNames: Label[],
    read: (gauge: Gauge<Label | 'cpu'>, cpu: CpuInspection) => void,
  ) =>
    new Gauge<Label | 'cpu'>({
      name,
      help,
      labelNames: ['cpu', ...labelNames],
      registers: [registry],
      collect() {
        this.reset()
        for (const cpu of cpus()) read(this, cpu)
      },
    })

  gauge(
    'percpu_cpu_activity',
    'What each CPU is doing: 1 for its present activity',
    ['activity'],
    (to, cpu) => {
      for (const activity of activities) to.set({ cpu: cpu.cpu, activity }, cpu.activity === activity ? 1 : 0)
    },
  )
  gauge(
    'percpu_cpu_silent_seconds',
    'For how long a ring of the supervisor has been unanswered',
    [],
    (to, cpu) => {
      to.set({ cpu: cpu.cpu }, (cpu.silentFor ?? 0) / 1000)
    },
  )
  gauge('percpu_cpu_incarnation', 'How many threads have been this CPU', [], (to, cpu) => {
    to.set({ cpu: cpu.cpu }, cpu.incarnation)
  })
  gauge('percpu_cpu_utilisation', 'Busy share of the last heartbeat interval, 0 to 1', [], (to, cpu) => {
    if (cpu.utilisation !== undefined) to.set({ cpu: cpu.cpu }, cpu.utilisation)
  })
  gauge('percpu_cpu_runs', 'Labelled work begun by the thread that is this CPU', [], (to, cpu) => {
    to.set({ cpu: cpu.cpu }, cpu.runs)
  })
  gauge('percpu_cpu_pending', 'Asynchronous labelled work that has not settled', [], (to, cpu) => {
    to.set({ cpu: cpu.cpu }, cpu.pending.length)
  })
  gauge('percpu_cpu_locks', 'Locks owned and waited for', ['relation'], (to, { cpu, locks }) => {
    to.set({ cpu, relation: 'owned' }, locks.owned.length)
    to.set({ cpu, relation: 'awaited' }, locks.awaited.length)
  })
  gauge(
    'percpu_cpu_event_loop_delay_seconds',
    'By how much heartbeats were late',
    ['percentile'],
    (to, cpu) => {
      percentiles(to, cpu.cpu, cpu.eventLoopDelay)
    },
  )
  gauge('percpu_cpu_doorbell_seconds', 'From a ring to its answer', ['percentile'], (to, cpu) => {
    percentiles(to, cpu.cpu, cpu.doorbellLatency)
  })
  gracePeriodMetrics(registry, inspect)
}

function percentiles(to: Gauge<'percentile' | 'cpu'>, cpu: number, measured: Percentiles | undefined): void {
  if (!measured) return
  to.set({ cpu, percentile: '50' }, measured.p50 / 1000)
  to.set({ cpu, percentile: '90' }, measured.p90 / 1000)
  to.set({ cpu, percentile: '99' }, measured.p99 / 1000)
  to.set({ cpu, percentile: '100' }, measured.max / 1000)
}
