/** Shows results, as tables for a terminal and for docs/benchmarks.md. */
import Table from 'cli-table3'
import { markdownTable } from 'markdown-table'
import { environmentFacts } from './environment.js'
import { describeGoal, type Comparison } from './goals.js'
import type { SuiteResult } from './run.js'

export interface LayerResult {
  readonly layer: string
  readonly suites: readonly SuiteResult[]
}

const headings = ['', 'value', 'compared with', 'by', 'goal', 'met']

/**
 * The cells of a suite's table. A floor that other rows are compared with has no line of its own:
 * its value stands in theirs.
 */
export function cells({ unit, rows }: SuiteResult): string[][] {
  const compared = new Set(rows.map(({ comparison }) => comparison?.against))
  return rows
    .filter(({ role, name }) => role !== 'floor' || !compared.has(name))
    .map(({ name, role, value, absent, comparison, goal, met }) => [
      role === 'ours' ? name : `${name} (${role})`,
      absent === undefined ? `${formatValue(value)} ${unit}` : `absent: ${absent}`,
      comparison === undefined ? '' : `${comparison.against}: ${formatValue(comparison.other)}`,
      comparison === undefined ? '' : formatComparison(comparison),
      goal === undefined ? '' : describeGoal(goal),
      met === undefined ? '' : met ? 'yes' : 'no',
    ])
}

function formatComparison({ by, isDifference }: Comparison): string {
  // Beside something that takes no time at all.
  if (!Number.isFinite(by)) return '–'
  if (isDifference) return `${by < 0 ? '−' : '+'}${Math.abs(by).toFixed(2)}`
  return `${by.toFixed(2)}×`
}

/** Three significant digits, with thousands apart. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

/** The tables of a layer, for a terminal. */
export function terminalReport({ layer, suites }: LayerResult): string {
  return suites
    .map((suite) => {
      const table = new Table({ head: headings, style: { head: [], border: [] } })
      table.push(...cells(suite))
      return `${layer}: ${suite.title}\n${table.toString()}\n`
    })
    .join('\n')
}

/** The whole docs/benchmarks.md. `summary`: what comes first. */
export function markdownReport(layers: readonly LayerResult[], summary = ''): string {
  const sections = layers.map(({ layer, suites }) => `## ${layer}\n\n${suites.map(suiteSection).join('\n')}`)
  const facts = environmentFacts().map(([name, value]) => `- ${name}: ${value}`)
  return `# Benchmarks

Measured side by side: the rows of a table take turns in one process, and each layer has a process of its own. Of times
the best round counts, of latencies the median. Times of loops leave out what other programs take. "Compared with" gives
the value of the row that the goal speaks of.
\`npm run bench\` writes this page.

${facts.join('\n')}

${summary === '' ? '' : `${summary}\n`}${sections.join('\n')}`
}

function suiteSection(suite: SuiteResult): string {
  const table = markdownTable([headings, ...cells(suite)], { align: ['l', 'r', 'l', 'r', 'r', 'l'] })
  return `### ${suite.title}\n\n${suite.note === undefined ? '' : `${suite.note}\n\n`}${table}\n`
}

/** How many goals there are, and the names of those not met. */
export function goalSummary(layers: readonly LayerResult[]): { total: number; missed: string[] } {
  const judged = layers.flatMap(({ layer, suites }) =>
    suites.flatMap(({ title, rows }) =>
      rows
        .filter(({ met }) => met !== undefined)
        .map((row) => ({ name: `${layer}: ${title}: ${row.name}`, row })),
    ),
  )
  const missed = judged.filter(({ row }) => row.met === false).map(({ name }) => name)
  return { total: judged.length, missed }
}
