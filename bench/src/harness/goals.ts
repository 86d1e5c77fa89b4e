/** Compares values with goals. */
import type { Goal, Row } from './suite.js'

/** How a value relates to another row's. */
export interface Comparison {
  readonly against: string
  readonly other: number
  /** The ratio, or for `atMostMore` the difference. */
  readonly by: number
  readonly isDifference: boolean
}

/**
 * Compares a row with the one that its goal, or else `compareWith`, names; undefined if neither
 * names any.
 *
 * @throws Error where both are 0: such a row has measured nothing
 */
export function compare(
  value: number,
  { goal, compareWith }: Pick<Row, 'goal' | 'compareWith'>,
  values: ReadonlyMap<string, number>,
): Comparison | undefined {
  const against = goal && 'against' in goal ? goal.against : compareWith
  const other = against === undefined ? undefined : values.get(against)
  if (against === undefined || other === undefined) return undefined
  const isDifference = goal !== undefined && 'atMostMore' in goal
  if (!isDifference && value === 0 && other === 0)
    throw new Error(`nothing was measured: the value is 0, and that of "${against}" as well`)
  return { against, other, by: isDifference ? value - other : value / other, isDifference }
}

/** Whether a value, with its comparison, meets a goal. */
export function isMet(value: number, goal: Goal, comparison: Comparison | undefined): boolean {
  if ('below' in goal) return value <= goal.below
  if ('above' in goal) return value >= goal.above
  const by = comparison?.by ?? NaN
  if ('atMostMore' in goal) return by <= goal.atMostMore
  return 'atMost' in goal ? by <= goal.atMost : by >= goal.atLeast
}

/** A goal as the tables show it: `≤ 1.2×`, `≤ +0.3`, `≥ 100`. */
export function describeGoal(goal: Goal): string {
  if ('below' in goal) return `≤ ${goal.below}`
  if ('above' in goal) return `≥ ${goal.above}`
  if ('atMostMore' in goal) return `≤ +${goal.atMostMore}`
  return 'atMost' in goal ? `≤ ${goal.atMost}×` : `≥ ${goal.atLeast}×`
}
