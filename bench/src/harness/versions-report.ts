/**
 * Shows how two versions compare: the last part of docs/benchmarks.md, and tables for a terminal.
 */
import Table from 'cli-table3'
import { markdownTable } from 'markdown-table'
import { environmentFacts } from './environment.js'
import { formatValue } from './report.js'
import { THRESHOLD, type RowChange, type SuiteChange } from './versions.js'

export interface LayerChange {
  readonly layer: string
  readonly suites: readonly SuiteChange[]
}

const headings = ['', 'before', 'after', 'ratio', 'rounds', '']

function cells({ unit, rows }: SuiteChange): string[][] {
  return rows.map(({ name, before, after, ratio, lowest, highest, verdict }) => [
    name,
    `${formatValue(before)} ${unit}`,
    `${formatValue(after)} ${unit}`,
    `${ratio.toFixed(2)}×`,
    `${lowest.toFixed(2)}–${highest.toFixed(2)}`,
    verdict ?? '',
  ])
}

/** The tables of a layer, for a terminal. */
export function terminalVersions({ layer, suites }: LayerChange): string {
  return suites
    .map((suite) => {
      const table = new Table({ head: headings, style: { head: [], border: [] } })
      table.push(...cells(suite))
      return `${layer}: ${suite.title}\n${table.toString()}\n${unmatched(suite)}`
    })
    .join('\n')
}

const heading = '## Before and after'

/** The part of the page that compares two versions. */
export function markdownVersions(layers: readonly LayerChange[], rounds: number): string {
  const sections = layers.flatMap(({ layer, suites }) => suites.map((suite) => suiteSection(layer, suite)))
  const facts = environmentFacts().map(([name, value]) => `- ${name}: ${value}`)
  return `${heading}

An earlier version beside this one, both with this version's harness. Their processes take turns,
${rounds} of each for each table. A ratio is after / before: the median of the rounds' ratios, and beside it
the lowest and the highest of them. Their spread is the noise. Where rows show code that is not the library's,
the ratios of the library's rows are divided by theirs, as processes do not all find the machine equally fast.

A row of the library is marked if its ratio is at least ${THRESHOLD}, or at most 1 / ${THRESHOLD}, and all rounds agree on
the direction. Of rows that have not changed, rounds agree in 1 of ${2 ** (rounds - 1)}.
\`npm run bench -- --against DIRECTORY\` writes this part.

${facts.join('\n')}

${sections.join('\n')}`
}

function suiteSection(layer: string, suite: SuiteChange): string {
  const table = markdownTable([headings, ...cells(suite)], { align: ['l', 'r', 'r', 'r', 'r', 'l'] })
  const rows = suite.rows.length === 0 ? '' : `\n${table}\n`
  return `### ${layer}: ${suite.title}\n${rows}${unmatched(suite)}`
}

function unmatched({ onlyBefore, onlyAfter }: SuiteChange): string {
  const names = (when: string, rows: readonly string[]): string =>
    rows.length === 0 ? '' : `\nOnly ${when}: ${rows.join('; ')}.\n`
  return names('before', onlyBefore) + names('after', onlyAfter)
}

/** Splits the page before the part that compares two versions; either may be empty. */
export function splitPage(page: string): [benchmarks: string, versions: string] {
  const at = page.indexOf(`${heading}\n`)
  return at < 0 ? [page, ''] : [page.slice(0, at), page.slice(at)]
}

/** The names of rows that changed for the worse. */
export function worseRows(layers: readonly LayerChange[]): string[] {
  const isWorse = ({ verdict }: RowChange): boolean => verdict === 'worse'
  return layers.flatMap(({ layer, suites }) =>
    suites.flatMap(({ title, rows }) =>
      rows.filter(isWorse).map(({ name }) => `${layer}: ${title}: ${name}`),
    ),
  )
}
