/** A stalled grace period, with what its CPUs were doing. */
import type { Stalled } from '../cpus/stall.js'
import type { OsThreadState } from '../machine/os-thread.js'
import type { SectionInspection } from './grace-periods.js'
import type { CpuInspection, Inspection } from './inspect.js'
import { visible } from '../shown.js'

/** One that holds a grace period up. */
export interface StallingCpu extends Pick<
  CpuInspection,
  'cpu' | 'activity' | 'silentFor' | 'work' | 'locks'
> {
  /**
   * What the operating system says of its thread. `'waiting'`: it sleeps in a bare `Atomics.wait`,
   * in which it neither answers nor counts as parked. Undefined if the system does not tell.
   */
  readonly thread: OsThreadState | undefined
}

/** A grace period that does not get on, and what holds it up. */
export interface StallEvent extends Omit<Stalled, 'cpus'> {
  readonly cpus: readonly StallingCpu[]
  /** Since when there has been no progress, ms since the Unix epoch. */
  readonly since: number
  /** Callbacks that wait for grace periods of this kind, of all CPUs. */
  readonly callbacks: number
  /** The oldest section; only in debug mode of SRCU. */
  readonly oldest: SectionInspection | undefined
  /** In a sentence. */
  readonly text: string
}

/** `threadOf`: what the operating system says of a CPU's thread. */
export function describeStall(
  stalled: Stalled,
  inspection: Inspection,
  threadOf: (cpu: number) => OsThreadState | undefined,
): StallEvent {
  const { domain, handedOver, age } = stalled
  const cpus = inspection.cpus
    .filter(({ cpu }) => stalled.cpus.includes(cpu))
    .map(({ cpu, activity, silentFor, work, locks }) => {
      return { cpu, activity, silentFor, work, locks, thread: threadOf(cpu) }
    })
  const found = inspection.gracePeriods.find((each) => each.domain === domain)
  const callbacks = found?.callbacks.reduce((sum, count) => sum + count, 0) ?? 0
  const event = {
    domain,
    handedOver,
    age,
    cpus,
    since: inspection.unix - age,
    callbacks,
    oldest: found?.oldest,
  }
  return { ...event, text: textOf(event) }
}

function textOf({
  domain,
  handedOver,
  age,
  cpus,
  since,
  callbacks,
  oldest,
}: Omit<StallEvent, 'text'>): string {
  const names = cpus.map((cpu) => `CPU ${cpu.cpu} (${doingOf(cpu)})`)
  if (handedOver > 0) names.push(`${handedOver} sections handed over`)
  if (handedOver < 0) names.push(`none, but ${-handedOver} were ended more often than they were handed over`)
  const who = names.join(', ')
  const what =
    domain === undefined
      ? `no grace period for ${age} ms: ${who} did not return to its event loop, poll or park`
      : `no grace period of '${visible(domain)}' for ${age} ms: sections under way of ${who}`
  const waiting = callbacks > 0 ? `; callbacks that wait for it: ${callbacks}` : ''
  const section =
    oldest === undefined ? '' : `; the oldest section was begun by CPU ${oldest.cpu}${stackOf(oldest)}`
  return `${what}; since ${new Date(since).toISOString()}${waiting}${section}`
}

function stackOf({ lockedAt }: SectionInspection): string {
  return lockedAt
    .split('\n')
    .map((line) => `\n    ${line}`)
    .join('')
}

function doingOf({ activity, work, thread }: StallingCpu): string {
  const doing = work ? `in '${visible(work.label)}'` : activity
  if (thread === 'gone') return `${doing}, its thread has ended: supervise it`
  const isBare = thread === 'waiting' && activity !== 'parked' && activity !== 'deaf'
  return isBare ? `${doing}, asleep in a bare Atomics.wait: join it with watchWaits` : doing
}
