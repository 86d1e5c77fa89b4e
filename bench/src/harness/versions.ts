/**
 * Compares two versions by processes that took turns: before, after, before, after. The two
 * processes of a round run right after each other. So a slow minute of the machine slows both, and
 * the ratio of the round changes little.
 *
 * A machine that others use runs one process up to 1.5 times as fast as the next. Where a suite
 * takes the lowest times, rows that do not use the library tell how fast: the ratios of the others
 * are divided by the geometric mean of theirs.
 */
import { pick, type RowResult, type SuiteResult } from './run.js'
import type { Row, Take } from './suite.js'

/** What a round has measured of a suite; undefined where a version has no such suite. */
export interface Round {
  readonly before: SuiteResult | undefined
  readonly after: SuiteResult | undefined
}

export interface RowChange {
  readonly name: string
  /** Medians of the rounds. */
  readonly before: number
  readonly after: number
  /**
   * After / before, at one speed of the machine: the median of the rounds' ratios, and the lowest
   * and the highest of them.
   */
  readonly ratio: number
  readonly lowest: number
  readonly highest: number
  /** What the ratio means for a row of the library, if it is outside of noise. */
  readonly verdict: 'worse' | 'better' | undefined
}
export interface SuiteChange {
  readonly title: string
  readonly unit: string
  readonly rows: readonly RowChange[]
  /** Rows of one version only. */
  readonly onlyBefore: readonly string[]
  readonly onlyAfter: readonly string[]
}

/** A change of less than this factor is none. */
export const THRESHOLD = 1.05

/** Rows are matched by their names or former names. */
export function compareVersions(rounds: readonly Round[]): SuiteChange {
  const suite = rounds[0]?.after ?? rounds[0]?.before
  if (!suite) throw new Error('no round was measured')
  const before = rounds.map((round) => presentRows(round.before))
  const after = rounds.map((round) => presentRows(round.after))
  const matched: Matched[] = []
  const onlyAfter: string[] = []
  const left = new Set(before[0]?.map(({ name }) => name))
  for (const { name, formerly, role } of after[0] ?? []) {
    const old = [name, formerly].find((each) => each !== undefined && left.delete(each))
    if (old === undefined) onlyAfter.push(name)
    else matched.push({ name, role, before: valuesOf(before, old), after: valuesOf(after, name) })
  }
  const speeds = suite.take === 'lowest' ? speedsOf(matched, rounds.length) : undefined
  const rows = matched.map((row) => change(row, suite.take, row.role === 'ours' ? speeds : undefined))
  return { title: suite.title, unit: suite.unit, rows, onlyBefore: [...left], onlyAfter }
}

function presentRows(suite: SuiteResult | undefined): RowResult[] {
  return suite?.rows.filter(({ absent }) => absent === undefined) ?? []
}

interface Matched {
  readonly name: string
  readonly role: Row['role']
  /** A value for each round. */
  readonly before: readonly number[]
  readonly after: readonly number[]
}

function valuesOf(rounds: readonly (readonly RowResult[])[], wanted: string): number[] {
  return rounds.map((rows) => rows.find(({ name }) => name === wanted)?.value ?? NaN)
}

/** How much slower the machine was in each round's process of the version after. */
function speedsOf(rows: readonly Matched[], rounds: number): number[] {
  const references = rows.filter(({ role }) => role !== 'ours').map(ratiosOf)
  return Array.from({ length: rounds }, (_, round) => {
    const logarithms = references.map((ratios) => Math.log(ratios[round] ?? 1))
    return Math.exp(logarithms.reduce((sum, each) => sum + each, 0) / Math.max(1, logarithms.length))
  })
}

function ratiosOf({ before, after }: Matched): number[] {
  return after.map((value, round) => value / (before[round] ?? NaN))
}

function change(row: Matched, take: Take, speeds: readonly number[] | undefined): RowChange {
  const ratios = ratiosOf(row).map((ratio, round) => ratio / (speeds?.[round] ?? 1))
  const ratio = pick(ratios, 'median')
  const lowest = Math.min(...ratios)
  const highest = Math.max(...ratios)
  const isHigher = ratio >= THRESHOLD && lowest > 1
  const isLower = ratio <= 1 / THRESHOLD && highest < 1
  const [higher, lower] = take === 'highest' ? (['better', 'worse'] as const) : (['worse', 'better'] as const)
  const verdict = isHigher ? higher : isLower ? lower : undefined
  return {
    name: row.name,
    before: pick(row.before, 'median'),
    after: pick(row.after, 'median'),
    ratio,
    lowest,
    highest,
    verdict: row.role === 'ours' ? verdict : undefined,
  }
}
