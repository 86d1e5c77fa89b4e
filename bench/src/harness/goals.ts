/** Compares values with goals. */
import type { Goal } from './suite.js'

export interface Verdict {
  readonly met: boolean
  /** Ratio to, or for `atMostMore` difference from, the row compared with; undefined for absolute goals. */
  readonly comparison: number | undefined
}

export function judge(value: number, goal: Goal, values: ReadonlyMap<string, number>): Verdict {
  if ('below' in goal) return { met: value <= goal.below, comparison: undefined }
  if ('above' in goal) return { met: value >= goal.above, comparison: undefined }
  const other = values.get(goal.against) ?? NaN
  if ('atMostMore' in goal) return { met: value - other <= goal.atMostMore, comparison: value - other }
  const ratio = value / other
  return { met: 'atMost' in goal ? ratio <= goal.atMost : ratio >= goal.atLeast, comparison: ratio }
}

/** A goal as the tables show it: `≤ 1.2×`, `≤ +0.3`, `≥ 100`. */
export function describeGoal(goal: Goal): string {
  if ('below' in goal) return `≤ ${goal.below}`
  if ('above' in goal) return `≥ ${goal.above}`
  if ('atMostMore' in goal) return `≤ +${goal.atMostMore}`
  return 'atMost' in goal ? `≤ ${goal.atMost}×` : `≥ ${goal.atLeast}×`
}
