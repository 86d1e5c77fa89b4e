/** A stalled grace period, with what its CPUs were doing. */
import type { Stalled } from '../cpus/stall.js'
import type { CpuInspection } from './inspect.js'

/** One that holds a grace period up. */
export type StallingCpu = Pick<CpuInspection, 'cpu' | 'activity' | 'silentFor' | 'work' | 'locks'>

export interface StallEvent extends Omit<Stalled, 'cpus'> {
  readonly cpus: readonly StallingCpu[]
  /** In a sentence. */
  readonly text: string
}

/** `inspected`: every CPU. */
export function describeStall(stalled: Stalled, inspected: readonly CpuInspection[]): StallEvent {
  const { domain, handedOver, age } = stalled
  const cpus = inspected
    .filter(({ cpu }) => stalled.cpus.includes(cpu))
    .map(({ cpu, activity, silentFor, work, locks }) => ({ cpu, activity, silentFor, work, locks }))
  const names = cpus.map(
    ({ cpu, activity, work }) => `CPU ${cpu} (${work ? `in '${work.label}'` : activity})`,
  )
  if (handedOver > 0) names.push(`${handedOver} sections handed over`)
  const who = names.join(', ')
  const text =
    domain === undefined
      ? `no grace period for ${age} ms: ${who} did not return to its event loop, poll or park`
      : `no grace period of '${domain}' for ${age} ms: sections under way of ${who}`
  return { domain, handedOver, age, cpus, text }
}
