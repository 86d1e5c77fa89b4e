/**
 * Runs suites: every row once a round, so that a slow second of the machine hits all rows alike.
 */
import { compare, isMet, type Comparison } from './goals.js'
import type { Effort, Goal, Row, Suite, Take } from './suite.js'

export interface RowResult {
  readonly name: string
  readonly formerly: string | undefined
  readonly role: Row['role']
  readonly value: number
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
    const values = new Map(suite.rows.map((row, i) => [row.name, pick(samples[i] ?? [], take)]))
    const rows = suite.rows.map((row): RowResult => {
      const { name, formerly, role, goal } = row
      const value = values.get(name) ?? NaN
      const comparison = compare(value, row, values)
      return { name, formerly, role, value, goal, comparison, met: goal && isMet(value, goal, comparison) }
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

async function measureRounds(rows: readonly Row[], effort: Effort): Promise<number[][]> {
  const samples = rows.map((): number[] => [])
  // The first round lets loops find their counts and the engine optimise them; it does not count.
  for (let round = -1; round < effort.rounds; round++) {
    for (let i = 0; i < rows.length; i++) {
      // Every other round backwards: a row does not always follow the same one.
      const at = round % 2 === 0 ? i : rows.length - 1 - i
      const value = await rows[at]?.measure(effort)
      if (value !== undefined && round >= 0) samples[at]?.push(value)
    }
  }
  return samples
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
