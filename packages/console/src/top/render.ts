/** An inspection as text: a row for each CPU, and what needs attention below. */
import Table from 'cli-table3'
import type { CpuInspection, Deadlock, Inspection } from 'percpu'
import type { Report } from './protocol.js'

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

/** The screen of `percpu top`. CPUs without a thread are counted only. */
export function render({ pid, title, inspection }: Report, options: { readonly color: boolean }): string {
  const shown = inspection.cpus.filter(({ activity }) => activity !== 'offline')
  const table = new Table({
    head,
    style: options.color ? { compact: true } : { compact: true, head: [], border: [] },
  })
  for (const cpu of shown) table.push(row(cpu, inspection))
  const offline = inspection.cpus.length - shown.length
  const lines = [
    `${title} (process ${pid}), up ${duration(inspection.at)}: ${shown.length} CPUs, ${offline} offline`,
    table.toString(),
    ...inspection.deadlocks.map(deadlockLine),
  ]
  return `${lines.join('\n')}\n`
}

function row(cpu: CpuInspection, { at }: Inspection): string[] {
  const { work, pending } = cpu
  const shown = work ?? pending[0]
  const more = pending.length - (work ? 0 : 1)
  const label = shown ? `${shown.label}${work ? '' : ' (awaits)'}${more > 0 ? ` +${more}` : ''}` : ''
  return [
    `${cpu.cpu}.${cpu.incarnation}`,
    String(cpu.node),
    cpu.activity === 'blocked' ? `BLOCKED ${duration(cpu.silentFor ?? 0)}` : cpu.activity,
    label,
    shown?.since === undefined ? '' : duration(at - shown.since),
    cpu.utilisation === undefined ? '' : `${Math.round(cpu.utilisation * 100)} %`,
    pair(cpu.eventLoopDelay),
    pair(cpu.doorbellLatency),
    locks(cpu),
    lastDispatch(cpu, at),
  ]
}

function pair(measured: CpuInspection['eventLoopDelay']): string {
  return measured ? `${duration(measured.p50)} / ${duration(measured.p99)}` : ''
}

function locks({ locks: { owned, awaited } }: CpuInspection): string {
  const owns = owned.map(nameOf).join(' ')
  const waits = awaited.map((lock) => `→${nameOf(lock)}`).join(' ')
  return [owns, waits].filter((text) => text !== '').join(' ')
}
function nameOf({ name, address }: { readonly name?: string | undefined; readonly address: number }): string {
  return name ?? `@${address}`
}

function lastDispatch({ dispatches }: CpuInspection, at: number): string {
  const last = dispatches.at(-1)
  return last ? `${last.label ?? last.kind}, ${duration(at - last.at)} ago` : ''
}

function deadlockLine({ cpus, locks: awaited, certain }: Deadlock): string {
  const steps = cpus.map((cpu, i) => `CPU ${cpu} waits for ${nameOf(awaited[i] ?? { address: 0 })} of`)
  return `${certain ? 'DEADLOCK' : 'possible deadlock'}: ${steps.join(' ')} CPU ${cpus[0] ?? '?'}`
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
