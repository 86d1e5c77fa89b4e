/** Brings ranges into ascending order, and finds those that overlap. */
import { ipv4Text, ipv6Text } from '../address/format.js'
import { BIAS, type RangeColumns } from './columns.js'
import { compare } from './packed.js'
import type { Problems } from './problems.js'

/**
 * Overlaps known to be in the published data. They are tolerated, and counted; of two ranges that
 * hold an address, the one with the greater start answers. `@ip-location-db/asn` 2.3.2026061719 has
 * one, at lines 399115 and 399116 of asn-ipv4.csv.
 */
const KNOWN_OVERLAPS: ReadonlySet<string> = new Set(['214.95.0.0-215.0.255.255 215.0.0.0-215.1.3.255'])

/**
 * Row numbers in ascending order of their starts; of rows with the same start, in the order of the
 * file.
 */
export function sortedOrder(columns: RangeColumns): Uint32Array {
  const order = Uint32Array.from({ length: columns.length }, (_, row) => row)
  const starts = columns.starts.map(({ words }) => words)
  const byStart = (a: number, b: number) => compare(starts, a, starts, b) || a - b
  let sorted = true
  for (let row = 1; row < order.length && sorted; row++) sorted = byStart(row - 1, row) < 0
  return sorted ? order : order.sort(byStart)
}

/**
 * Reports each row that begins before an earlier one has ended, and leaves it out. Gives the
 * others, in the same order, and the number of known overlaps.
 */
export function withoutOverlaps(
  columns: RangeColumns,
  order: Uint32Array,
  file: string,
  problems: Problems,
): { readonly order: Uint32Array; readonly known: number } {
  const starts = columns.starts.map(({ words }) => words)
  const ends = columns.ends.map(({ words }) => words)
  const lines = columns.lines.words
  let known = 0
  let kept = Math.min(1, order.length)
  let reaching = order[0] ?? 0
  for (let i = 1; i < order.length; i++) {
    const row = order[i] as number
    if (compare(ends, reaching, starts, row) >= 0) {
      if (KNOWN_OVERLAPS.has(`${rangeText(columns, reaching)} ${rangeText(columns, row)}`)) {
        known++
      } else {
        problems.add(
          file,
          lines[row] as number,
          `${rangeText(columns, row)} overlaps ${rangeText(columns, reaching)} of line ${lines[reaching]}`,
        )
        continue
      }
    }
    order[kept++] = row
    if (compare(ends, row, ends, reaching) > 0) reaching = row
  }
  return { order: order.subarray(0, kept), known }
}

type Words = readonly Int32Array[]

function rangeText(columns: RangeColumns, row: number): string {
  return `${addressText(
    columns.starts.map(({ words }) => words),
    row,
  )}-${addressText(
    columns.ends.map(({ words }) => words),
    row,
  )}`
}

function addressText(columns: Words, row: number): string {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = columns.map((words) => (words[row] as number) ^ BIAS)
  return columns.length === 1 ? ipv4Text(w0) : ipv6Text(w0, w1, w2, w3)
}
