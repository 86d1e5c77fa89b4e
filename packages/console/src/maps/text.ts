/** Areas of spaces as text, a row each, as `/proc/PID/smaps` tells of those of a process. */
import Table from 'cli-table3'
import type { AreaReport, SpaceReport } from 'percpu'
import type { SpacesReport } from '../inspect/protocol.js'
import { visible } from '../visible.js'
import { addressText, bytesText } from './bytes.js'
import { plural, summaryOf, titleOf } from './sums.js'

const head = ['from', 'to', 'may', 'size', 'resident', 'in blocks', 'shared', 'written', 'read']

export function renderMaps(
  { pid, title, spaces }: SpacesReport,
  options: { readonly color: boolean },
): string {
  const first = `${visible(title)} (process ${pid}): ${plural(spaces.length, 'space')}`
  return `${[first, ...spaces.map((space) => renderSpace(space, options))].join('\n\n')}\n`
}

function renderSpace(space: SpaceReport, { color }: { readonly color: boolean }): string {
  const lines = [titleOf(space), summaryOf(space)]
  if (space.areas.length > 0) {
    const plain = color ? {} : { head: [], border: [] }
    const table = new Table({ head, style: { compact: true, ...plain } })
    table.push(...space.areas.map(row))
    lines.push(table.toString())
  }
  return lines.join('\n')
}

function row({ address, bytes, write, huge, ...sums }: AreaReport): string[] {
  const { resident, inBlocks, shared, dirty, accessed } = sums
  return [
    addressText(address),
    addressText(address + bytes - 1),
    `${write ? 'read, write' : 'read'}${huge ? ', in blocks' : ''}`,
    ...[bytes, resident, inBlocks, shared, dirty, accessed].map(bytesText),
  ]
}
