/**
 * Runs suites: every row once a round, so that a slow second of the machine hits all rows alike.
 */
import { compare, isMet, type Comparison } from './goals.js'
import { Absent, type Effort, type Goal, type Row, type Suite, type Take } from './suite.js'

export interface RowResult {
  readonly name: string
  readonly formerly: string | undefined
  readonly role: Row['role']
  /** Nothing of use if the row is absent. */
  readonly value: number
  /** Why there was nothing to measure. */
  readonly absent?: string
  readonly goal: Goal | undefined
  readonly comparison: Comparison | undefined
  /** Undefined without a goal. */
  readonly met: boolean | undefined
}
export interface SuiteResult {
  readonly title: string
  readonly unit: string
  readonly note: string | undefined
  readonly take: Take
  readonly rows: readonly RowResult[]
}

export async function runSuite(suite: Suite, effort: Effort): Promise<SuiteResult> {
  checkSuite(suite)
  const { title, unit, note, take = 'lowest' } = suite
  await suite.setUp?.()
  try {
    const samples = await measureRounds(suite.rows, effort)
    const values = new Map<string, number>()
    for (const { row, taken } of samples)
      if (!(taken instanceof Absent)) values.set(row.name, pick(taken, take))
    const rows = samples.map(({ row, taken }): RowResult => {
      const { name, formerly, role, goal } = row
      if (taken instanceof Absent)
        return {
          name,
          formerly,
          role,
          value: NaN,
          absent: taken.message,
          goal,
          comparison: undefined,
          met: undefined,
        }
      const value = values.get(name) ?? NaN
      const comparison = compare(value, row, values)
      // A goal that speaks of an absent row is neither met nor missed.
      const isJudged = goal !== undefined && (comparison !== undefined || !('against' in goal))
      const met = isJudged ? isMet(value, goal, comparison) : undefined
      return { name, formerly, role, value, goal, comparison, met }
    })
    return { title, unit, note, take, rows }
  } finally {
    await suite.tearDown?.()
  }
}

function checkSuite({ title, rows }: Suite): void {
  const names = new Set(rows.map(({ name }) => name))
  if (names.size !== rows.length) throw new Error(`suite "${title}" has two rows of one name`)
  for (const { name, goal, compareWith } of rows) {
    const against = goal && 'against' in goal ? goal.against : compareWith
    if (against !== undefined && !names.has(against)) {
      throw new Error(`suite "${title}": "${name}" is compared with "${against}", which is no row`)
    }
  }
}

interface Samples {
  readonly row: Row
  /** A value of each round, or why there is none. */
  taken: number[] | Absent
}

async function measureRounds(rows: readonly Row[], effort: Effort): Promise<readonly Samples[]> {
  const samples = rows.map((row): Samples => ({ row, taken: [] }))
  // The first round lets loops find their counts and the engine optimise them; it does not count.
  for (let round = -1; round < effort.rounds; round++) {
    // Every other round backwards: a row does not always follow the same one.
    for (const each of round % 2 === 0 ? samples : [...samples].reverse()) {
      if (each.taken instanceof Absent) continue
      const value = await measure(each.row, effort)
      if (value instanceof Absent) each.taken = value
      else if (round >= 0) each.taken.push(value)
    }
  }
  return samples
}

async function measure(row: Row, effort: Effort): Promise<number | Absent> {
  try {
    const value = await row.measure(effort)
    if (!Number.isFinite(value)) throw new Error(`"${row.name}" measures ${value}`)
    return value
  } catch (error) {
    if (error instanceof Absent) return error
    throw error
  }
}

/** The value that counts of several. */
export function pick(values: readonly number[], take: Take): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const low = sorted[take === 'lowest' ? 0 : take === 'highest' ? sorted.length - 1 : Math.floor(middle)]
  const high = take === 'median' ? sorted[Math.ceil(middle)] : low
  if (low === undefined || high === undefined) throw new Error('no round was measured')
  return (low + high) / 2
}
