/** What a torture run is asked for. */
import { availableParallelism } from 'node:os'
import { UsageError } from '../errors.js'

/** Flavours of the library. */
export const REAL = ['rcu', 'srcu', 'srcu-normal', 'tiny'] as const
/** Stand-ins with one fault each, which must be found; one without, in which nothing may be. */
export const BUSTED = ['busted-no-gp', 'busted-one-scan', 'busted-locks-first', 'busted-torn'] as const
export const STAND_INS = ['stand-in', ...BUSTED] as const
export const FLAVOURS = [...REAL, ...STAND_INS] as const

export type StandInName = (typeof STAND_INS)[number]
export type FlavourName = (typeof FLAVOURS)[number]

export interface TortureOptions {
  readonly flavour: FlavourName
  readonly milliseconds: number
  readonly readers: number
  readonly writers: number
  readonly fakeWriters: number
  /** Terminate random threads, and start others in their place. */
  readonly kill: boolean
  /** Threads take their CPUs offline, and join again. */
  readonly onoff: boolean
  readonly fanout: number
  readonly seed: number
}

/** Of each role. */
export const MAX_THREADS = 32

export const DEFAULTS = {
  milliseconds: 10_000,
  readers: Math.max(2, Math.min(MAX_THREADS, availableParallelism())),
  writers: 2,
  fakeWriters: 2,
  fanout: 2,
} as const

export function isStandIn(flavour: FlavourName): flavour is StandInName {
  return (STAND_INS as readonly string[]).includes(flavour)
}

/** @throws UsageError for what the flavour cannot take. */
export function checkOptions({ flavour, kill, onoff }: TortureOptions): void {
  if (!kill && !onoff) return
  const option = kill ? '--kill' : '--onoff'
  if (flavour === 'tiny')
    throw new UsageError(`${option}: flavour tiny has one CPU, and no other thread`, { flavour, option })
  if (isStandIn(flavour))
    throw new UsageError(`${option}: flavour ${flavour} is a stand-in, which cleans up after nobody`, {
      flavour,
      option,
    })
}
