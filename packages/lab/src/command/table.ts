/** The output of the command: a table of the explorations. */
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
