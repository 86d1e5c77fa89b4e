/**
 * Compares two versions by processes that took turns: before, after, before, after. The two
 * processes of a round run right after each other. So a slow minute of the machine slows both, and
 * the ratio of the round changes little.
 */
import { pick, type RowResult, type SuiteResult } from './run.js'
import type { Take } from './suite.js'

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
  /** After / before: the median of the rounds' ratios, and the lowest and the highest of them. */
  readonly ratio: number
  readonly lowest: number
  readonly highest: number
  /** What the ratio means, if it is outside of noise. */
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
  const before = rounds.map((round) => round.before?.rows ?? [])
  const after = rounds.map((round) => round.after?.rows ?? [])
  const suite = rounds[0]?.after ?? rounds[0]?.before
  if (!suite) throw new Error('no round was measured')
  const rows: RowChange[] = []
  const onlyAfter: string[] = []
  const left = new Set(before[0]?.map(({ name }) => name))
  for (const { name, formerly } of after[0] ?? []) {
    const old = [name, formerly].find((each) => each !== undefined && left.delete(each))
    if (old === undefined) onlyAfter.push(name)
    else rows.push({ name, ...change(valuesOf(before, old), valuesOf(after, name), suite.take) })
  }
  return { title: suite.title, unit: suite.unit, rows, onlyBefore: [...left], onlyAfter }
}

function valuesOf(rounds: readonly (readonly RowResult[])[], wanted: string): number[] {
  return rounds.map((rows) => rows.find(({ name }) => name === wanted)?.value ?? NaN)
}

function change(before: readonly number[], after: readonly number[], take: Take): Omit<RowChange, 'name'> {
  const ratios = after.map((value, round) => value / (before[round] ?? NaN))
  const ratio = pick(ratios, 'median')
  const lowest = Math.min(...ratios)
  const highest = Math.max(...ratios)
  const isHigher = ratio >= THRESHOLD && lowest > 1
  const isLower = ratio <= 1 / THRESHOLD && highest < 1
  const [higher, lower] = take === 'highest' ? (['better', 'worse'] as const) : (['worse', 'better'] as const)
  return {
    before: pick(before, 'median'),
    after: pick(after, 'median'),
    ratio,
    lowest,
    highest,
    verdict: isHigher ? higher : isLower ? lower : undefined,
  }
}
