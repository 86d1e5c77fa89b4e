/** What of an inspection is shown, and how, wherever it is. */
import type { CpuInspection, Deadlock, GracePeriodInspection, Inspection } from 'percpu'

/** Domains that are shown, the busiest first. */
const SHOWN_DOMAINS = 20

/**
 * The grace periods of `machine.rcu`, and of the domains in which something happens: those that
 * somebody waits for come first. `others` counts the domains that are left out.
 */
export function shownGracePeriods({ gracePeriods }: Inspection): {
  readonly shown: readonly GracePeriodInspection[]
  readonly others: number
} {
  const [rcu, ...domains] = gracePeriods
  const isQuiet = (each: GracePeriodInspection): boolean =>
    each.ended === 0 && each.sections === 0 && !each.isWanted
  const loud = domains.filter((each) => !isQuiet(each)).sort((one, other) => weightOf(other) - weightOf(one))
  const shown = loud.slice(0, SHOWN_DOMAINS)
  return { shown: [...(rcu ? [rcu] : []), ...shown], others: domains.length - shown.length }
}
function weightOf({ isWanted, waitingSince, ended }: GracePeriodInspection): number {
  return (waitingSince === undefined ? 0 : 2 ** 32) + (isWanted ? 2 ** 31 : 0) + ended
}

/** The work that a CPU is inside of, or asynchronous work under way; `''` if there is none. */
export function workOf({ work, pending }: CpuInspection): {
  readonly label: string
  readonly since: number | undefined
} {
  const shown = work ?? pending[0]
  if (!shown) return { label: '', since: undefined }
  const more = pending.length - (work ? 0 : 1)
  const label = `${shown.label}${work ? '' : ' (awaits)'}${more > 0 ? ` +${more}` : ''}`
  return { label, since: shown.since }
}

/** Its locks, and `→` before those that it waits for. */
export function locksOf({ locks: { owned, awaited } }: CpuInspection): string {
  return [...owned.map(nameOf), ...awaited.map((lock) => `→${nameOf(lock)}`)].join(' ')
}
function nameOf({ name, address }: { readonly name?: string | undefined; readonly address: number }): string {
  return name ?? `@${address}`
}

export function deadlockLine({ cpus, locks: awaited, certain }: Deadlock): string {
  const steps = cpus.map((cpu, i) => `CPU ${cpu} waits for ${nameOf(awaited[i] ?? { address: 0 })} of`)
  return `${certain ? 'DEADLOCK' : 'possible deadlock'}: ${steps.join(' ')} CPU ${cpus[0] ?? '?'}`
}
