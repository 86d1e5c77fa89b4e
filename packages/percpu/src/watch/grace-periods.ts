/** Grace periods in `machine.watch.inspect()`. */
import type { CpuTable } from '../cpus/cpu-table.js'
import { recordedWaits } from './wait-records.js'
import type { WatchMap } from './watch-map.js'

/** A section that is under way, in debug mode. */
export interface SectionInspection {
  /** Machine time at which it began, ms. */
  readonly since: number
  /** The CPU that began it. */
  readonly cpu: number
  /** Any thread may end it. */
  readonly isHandedOver: boolean
  /** The stack of the call that began it; perhaps cut off. */
  readonly lockedAt: string
}

/** The grace periods of `machine.rcu`, or of a domain. */
export interface GracePeriodInspection {
  /** The name of a domain of SRCU; undefined for `machine.rcu`. */
  readonly domain: string | undefined
  readonly flavour: 'fast' | 'normal' | undefined
  /** How many have ended so far, modulo 2^30. */
  readonly ended: number
  /** Somebody has asked for one that has not ended. */
  readonly isWanted: boolean
  /**
   * CPUs that hold it up if one is wanted: which have not been quiescent, or, of a domain, have
   * sections under way.
   */
  readonly cpus: readonly number[]
  /** Sections under way; a guess while they come and go. 0 for `machine.rcu`, which cannot know. */
  readonly sections: number
  /** Those among them that any thread may end. */
  readonly handedOver: number
  /** Callbacks pending of each CPU, by its number. */
  readonly callbacks: readonly number[]
  /** CPUs that wait for one, and machine time since when, ms. */
  readonly waiting: readonly number[]
  readonly waitingSince: number | undefined
  /** The oldest section of a domain; only in debug mode. */
  readonly oldest: SectionInspection | undefined
}

/** What the layers know that have grace periods; `key`: as in cpus/stall.ts. */
export interface GracePeriodSnapshot extends Omit<GracePeriodInspection, 'waiting' | 'waitingSince'> {
  readonly key: number
}

/** With those who wait. */
export function inspectGracePeriods(
  snapshots: readonly GracePeriodSnapshot[],
  table: CpuTable,
  map: WatchMap,
): GracePeriodInspection[] {
  const waits = recordedWaits(table, map)
  return snapshots.map(({ key, ...rest }) => {
    const wait = waits.get(key)
    return { ...rest, waiting: wait?.cpus ?? [], waitingSince: wait?.since }
  })
}
