/** An inspection as text: a row for each CPU, and what needs attention below. */
import Table from 'cli-table3'
import type { CpuInspection, GracePeriodInspection, Inspection } from 'percpu'
import { visible } from '../visible.js'
import type { Report } from '../inspect/protocol.js'
import { deadlockLine, locksOf, shownGracePeriods, workOf } from './words.js'

const head = [
  'CPU',
  'node',
  'state',
  'work',
  'for',
  'busy',
  'loop delay p50/p99',
  'ring p50/p99',
  'locks',
  'last',
]

const gracePeriodHead = [
  'grace periods',
  'ended',
  '/s',
  'sections',
  'held up by',
  'waited for',
  'oldest',
  'callbacks',
]

/**
 * The screen of `percpu top`. CPUs without a thread are counted only. `before`: an earlier
 * inspection of the same machine, for what is counted by the second.
 */
export function render(
  { pid, title, inspection }: Report,
  options: { readonly color: boolean },
  before?: Inspection,
): string {
  const shown = inspection.cpus.filter(({ activity }) => activity !== 'offline')
  const table = makeTable(head, options)
  for (const cpu of shown) table.push(row(cpu, inspection).map(visible))
  const offline = inspection.cpus.length - shown.length
  const lines = [
    `${visible(title)} (process ${pid}), up ${duration(inspection.at)}: ${shown.length} CPUs, ${offline} offline`,
    table.toString(),
    ...inspection.deadlocks.map((each) => visible(deadlockLine(each))),
    gracePeriods(inspection, before, options),
  ]
  return `${lines.join('\n')}\n`
}

function makeTable(head: string[], { color }: { readonly color: boolean }): Table.Table {
  return new Table({
    head,
    style: color ? { compact: true } : { compact: true, head: [], border: [] },
  })
}

/** Domains of which nothing is to be told are counted only. */
function gracePeriods(
  inspection: Inspection,
  before: Inspection | undefined,
  options: { readonly color: boolean },
): string {
  const table = makeTable(gracePeriodHead, options)
  const { shown, others } = shownGracePeriods(inspection)
  for (const each of shown) table.push(gracePeriodRow(each, inspection, before).map(visible))
  const { waits } = inspection
  const lines = [
    table.toString(),
    `waits for grace periods p50/p99: rcu ${pair(waits.rcu) || '-'}, domains ${pair(waits.srcu) || '-'}`,
    ...(others > 0 ? [`${others} more domains`] : []),
  ]
  return lines.join('\n')
}
function gracePeriodRow(each: GracePeriodInspection, { at }: Inspection, before?: Inspection): string[] {
  const callbacks = each.callbacks.reduce((sum, count) => sum + count, 0)
  return [
    each.domain ?? 'rcu',
    String(each.ended),
    before ? perSecond(each, at, before) : '',
    each.domain === undefined
      ? ''
      : `${each.sections}${each.handedOver > 0 ? ` (${each.handedOver} handed over)` : ''}`,
    each.isWanted ? each.cpus.map((cpu) => `CPU ${cpu}`).join(' ') : '',
    each.waitingSince === undefined
      ? ''
      : `${duration(at - each.waitingSince)} by CPU ${each.waiting.join(', ')}`,
    each.oldest ? `${duration(at - each.oldest.since)}, CPU ${each.oldest.cpu}` : '',
    callbacks > 0 ? String(callbacks) : '',
  ]
}

function perSecond(each: GracePeriodInspection, at: number, before: Inspection): string {
  const earlier = before.gracePeriods.find(({ domain }) => domain === each.domain)
  if (!earlier || at <= before.at) return ''
  // Counted modulo 2^30.
  const ended = (each.ended - earlier.ended + 2 ** 30) % 2 ** 30
  return ((ended / (at - before.at)) * 1000).toFixed(1)
}

function row(cpu: CpuInspection, { at }: Inspection): string[] {
  const { label, since } = workOf(cpu)
  return [
    `${cpu.cpu}.${cpu.incarnation}`,
    String(cpu.node),
    cpu.activity === 'blocked' ? blocked(cpu) : cpu.activity,
    label,
    since === undefined ? '' : duration(at - since),
    cpu.utilisation === undefined ? '' : `${Math.round(cpu.utilisation * 100)} %`,
    pair(cpu.eventLoopDelay),
    pair(cpu.doorbellLatency),
    locksOf(cpu),
    lastDispatch(cpu, at),
  ]
}

function blocked({ silentFor, thread }: CpuInspection): string {
  const how = thread === 'waiting' ? ' in Atomics.wait' : thread === 'gone' ? ' (thread has ended)' : ''
  return `BLOCKED ${duration(silentFor ?? 0)}${how}`
}

function pair(measured: CpuInspection['eventLoopDelay']): string {
  return measured ? `${duration(measured.p50)} / ${duration(measured.p99)}` : ''
}

function lastDispatch({ dispatches }: CpuInspection, at: number): string {
  const last = dispatches.at(-1)
  return last ? `${last.label ?? last.kind}, ${duration(at - last.at)} ago` : ''
}

/** `820 µs`, `12.3 ms`, `4.0 s`, `3 min`, `2 h`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1) return `${Math.max(0, Math.round(milliseconds * 1000))} µs`
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`
  return milliseconds < 7_200_000
    ? `${Math.floor(milliseconds / 60_000)} min`
    : `${Math.floor(milliseconds / 3_600_000)} h`
}
