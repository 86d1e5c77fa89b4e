/**
 * What a benchmark consists of. Each file `bench/src/<layer>.ts` exports its suites, as `suites`.
 */

/** How much time a run may take. */
export interface Effort {
  /** Rounds in which each row of a suite is measured once. */
  readonly rounds: number
  /** Time that a row's loop should take in one round, in milliseconds. */
  readonly roundTime: number
}
/** `part`: of a process that runs the same suites as others do, before and after it. */
export const efforts = {
  full: { rounds: 25, roundTime: 8 },
  part: { rounds: 7, roundTime: 5 },
  quick: { rounds: 5, roundTime: 2 },
} satisfies Record<string, Effort>
export type EffortName = keyof typeof efforts

/**
 * Measures once; gives a value in the unit of the suite.
 *
 * @throws Absent if there is nothing to measure on this machine.
 */
export type Measure = (effort: Effort) => number | Promise<number>

/** Thrown by a row's measurement: what it measures is not there. The report says so. */
export class Absent extends Error {}

/** What a row should reach, in relation to another row of its suite or by itself. */
export type Goal =
  | { /** Name of a row. */ readonly against: string; /** Largest ratio to it. */ readonly atMost: number }
  | { readonly against: string; /** Smallest ratio to it. */ readonly atLeast: number }
  | {
      readonly against: string
      /** Largest difference to it, in the unit of the suite. */ readonly atMostMore: number
    }
  | { /** Largest value. */ readonly below: number }
  | { /** Smallest value. */ readonly above: number }

export interface Row {
  /** Unique within the suite. */
  readonly name: string
  /** Its name in earlier versions, which are compared with this one. */
  readonly formerly?: string
  /** `ours`; `peer`: what a user would take instead; `floor`: what no library can beat. */
  readonly role: 'ours' | 'peer' | 'floor'
  readonly goal?: Goal
  /** Without a goal: name of a row to show the ratio to. */
  readonly compareWith?: string
  readonly measure: Measure
}

/**
 * Which of a row's values counts: the lowest (default; for times of short operations, where
 * everything else on the machine only adds), the highest (rates), or the median (latencies, sizes).
 */
export type Take = 'lowest' | 'highest' | 'median'

/** Rows that are compared with each other: measured in the same process, taking turns. */
export interface Suite {
  readonly title: string
  /** For example `ns`, `lookups/s`, `bytes`. */
  readonly unit: string
  /** What is measured, in one or two sentences. */
  readonly note?: string
  readonly take?: Take
  readonly rows: readonly Row[]
  /** Called before the first row is measured. */
  readonly setUp?: () => void | Promise<void>
  /** Called after the last row was measured, also when one failed: ends threads, removes files. */
  readonly tearDown?: () => void | Promise<void>
}
