// What a run says: a line for each row, and the table of docs/runtimes.md.

import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { root } from './project.js'

const columns = ['version', 'README program', 'suite', 'web workers', 'require']
const page = path.join(root, 'docs/runtimes.md')
const [from, to] = ['<!-- The table: npm run runtimes -->', '<!-- The end of the table. -->']

/** Whether anything of a row failed. */
export function failed(outcome) {
  return Object.values(outcome).some((value) => value.failure !== undefined)
}

/** A row, as it is printed. */
export function line({ name }, outcome) {
  const parts = Object.entries(outcome).map(
    ([column, value]) => `${column} ${value.failure ? 'FAILED' : value}`,
  )
  const failures = Object.entries(outcome).filter(([, { failure }]) => failure !== undefined)
  const details = failures.map(
    ([column, { failure }]) => `\n  ${column}: ${failure.replaceAll('\n', '\n    ')}`,
  )
  return `${name}: ${parts.join(', ')}${details.join('')}`
}

export function writeTable(outcomes) {
  const cells = [
    ['', ...columns],
    ...outcomes.map(([{ name }, outcome]) => [name, ...columns.map((column) => outcome[column] ?? '')]),
  ]
  const widths = cells[0].map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)))
  const lines = cells.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`,
  )
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`)
  const text = readFileSync(page, 'utf8')
  const [start, end] = [text.indexOf(from), text.indexOf(to)]
  if (start < 0 || end < start) throw new Error(`${page} has no place for the table`)
  const date = new Date().toISOString().slice(0, 10)
  const table = `${from}\n\nRun on ${date}:\n\n${lines.join('\n')}\n\n`
  writeFileSync(page, text.slice(0, start) + table + text.slice(end))
}
