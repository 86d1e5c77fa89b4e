/** The output of the command: a table of the explorations, and errors. */
import stringWidth from 'string-width'
import type { ExploreReport } from '../explore/outcome.js'
import type { Sent } from './outcome.js'

export interface Row {
  readonly name: string
  readonly outcome: Sent
}

const header = ['exploration', 'executions', 'blocked', 'redundant', 'ms', 'exec/s', 'result']

/** One line for each exploration, numbers to the right. */
export function tableOf(rows: readonly Row[]): string {
  const lines = [header, ...rows.map(cellsOf)]
  const widths = header.map((_, column) => Math.max(...lines.map((line) => stringWidth(line[column] ?? ''))))
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const space = ' '.repeat((widths[column] ?? 0) - stringWidth(cell))
          return column === 0 || column === header.length - 1 ? cell + space : space + cell
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cellsOf({ name, outcome }: Row): string[] {
  if ('failure' in outcome) {
    const { kind, execution } = outcome.failure
    return [name, String(execution), '', '', '', '', kind]
  }
  const { executions, blocked, redundant, truncated, milliseconds } = outcome.report
  const rate = milliseconds > 0 ? Math.round(((executions + blocked) / milliseconds) * 1000) : 0
  const numbers = [executions, blocked, redundant, Math.round(milliseconds), rate].map(String)
  const result = [verdictOf(outcome.report), truncated && 'not all explored']
  return [name, ...numbers, result.filter((part) => part !== false).join(', ')]
}

/** Without a look at anything there is no failure to find: `explore` refuses that. */
function verdictOf({ executions, touchesMemory, leftOut, checked }: ExploreReport): string {
  if (executions > 0 && !touchesMemory) return 'nothing explored'
  if (leftOut === 0) return 'no failure'
  return checked === 0 ? 'all left out' : `no failure, ${leftOut} left out`
}

/**
 * An error as text: the message alone if it is written for the reader, else the stack. Of a
 * scenario that cannot be, the reader also needs the places in files of their own.
 */
export function shown(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code } = error as { code?: unknown }
  if (code === 'LAB_FAILURE') return error.message
  if (code === 'LAB_SCHEDULE') return `percpu-lab: ${error.message}`
  if (code === 'LAB_SCENARIO') return [`percpu-lab: ${error.message}`, ...readersPlaces(error)].join('\n')
  return error.stack ?? error.message
}

/** Where this package's compiled files are. */
const own = new URL('..', import.meta.url).href

/** Lines of the stack, without those of this package and of Node. */
function readersPlaces({ stack = '', message }: Error): string[] {
  const lines = stack.slice(stack.indexOf(message) + message.length).split('\n')
  return lines.filter((line) => /^ +at /.test(line) && !line.includes(own) && !line.includes('node:'))
}
