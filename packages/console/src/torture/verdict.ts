/** What a run has shown. */
import { FAILURES, PIPE_LENGTH, type Counter, type Failure } from './layout.js'
import type { FlavourName, TortureOptions } from './options.js'
import type { Tally } from './tally.js'

/** At the moment. */
export interface Counted {
  readonly milliseconds: number
  readonly tally: Tally
  readonly gracePeriods: number
  readonly kills: number
  readonly orphans: number
  readonly lostElements: number
  readonly callbacksLost: number
  readonly pauses: number
  readonly notes: readonly string[]
  readonly stalls: readonly string[]
}

export interface TortureResult {
  readonly flavour: FlavourName
  readonly verdict: 'SUCCESS' | 'FAILURE'
  readonly options: TortureOptions
  readonly seconds: number
  /** How often each thing went wrong; only what did. */
  readonly failures: Partial<Record<Failure, number>>
  /** The first ones, in words. */
  readonly notes: readonly string[]
  readonly warnings: readonly string[]
  /** Reads by grace periods that had ended since what was read was replaced, and one for that. */
  readonly readerPipe: readonly number[]
  /** Of the sections that looked: by grace periods that ended meanwhile. */
  readonly readerBatch: readonly number[]
  /** Elements that went on from each step of their round; the last one must be 0. */
  readonly freeBlockCirculation: readonly number[]
  readonly closeCalls: number
  readonly gracePeriods: number
  readonly gracePeriodsPerSecond: number
  readonly kills: number
  readonly pauses: number
  /** Elements of terminated threads, and those that nobody had. */
  readonly orphans: number
  readonly lostElements: number
  readonly callbacksLost: number
  readonly counts: Readonly<Record<Counter, number>>
}

/** Close calls an hour above which more than one of them is a failure. */
const CLOSE_CALLS_PER_HOUR = 0.5

export function judge(options: TortureOptions, counted: Counted): TortureResult {
  const { tally, milliseconds, gracePeriods } = counted
  const seconds = milliseconds / 1000
  const found = FAILURES.map((failure) => [failure, tally.failed(failure)] as const)
  const failures: Partial<Record<Failure, number>> = Object.fromEntries(
    found.filter(([, count]) => count > 0),
  )
  const readerBatch = tally.histogram('readerBatch')
  const closeCalls = readerBatch.slice(2).reduce((sum, count) => sum + count, 0)
  const isTooClose = closeCalls > 1 && (closeCalls * 3600) / seconds > CLOSE_CALLS_PER_HOUR
  const notes = isTooClose
    ? [...counted.notes, `${closeCalls} close calls in ${seconds.toFixed(0)} s`]
    : counted.notes
  const hasFailed = isTooClose || Object.keys(failures).length > 0
  return {
    flavour: options.flavour,
    verdict: hasFailed ? 'FAILURE' : 'SUCCESS',
    options,
    seconds: round(seconds),
    failures,
    notes,
    warnings: [
      ...counted.stalls,
      ...(closeCalls > 0 && !isTooClose ? ['one close call'] : []),
      ...idle(tally),
    ],
    readerPipe: tally.histogram('readerPipe'),
    readerBatch,
    freeBlockCirculation: tally.histogram('circulation'),
    closeCalls,
    gracePeriods,
    gracePeriodsPerSecond: round(gracePeriods / seconds),
    kills: counted.kills,
    pauses: counted.pauses,
    orphans: counted.orphans,
    lostElements: counted.lostElements,
    callbacksLost: counted.callbacksLost,
    counts: tally.counts,
  }
}

/** A run in which nothing happened shows nothing. */
function idle(tally: Tally): string[] {
  const needed = ['reads', 'versions'] as const satisfies readonly Counter[]
  const missing = needed.filter((counter) => tally.count(counter) === 0)
  const isRound = (tally.histogram('circulation')[PIPE_LENGTH - 1] ?? 0) > 0
  return [
    ...missing.map((counter) => `there were no ${counter}`),
    ...(isRound ? [] : ['no element went all the way round: run for longer']),
  ]
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
