/** Reads the files of a table, and refuses what makes none. Nothing is shared yet. */
import { checkRows } from './check-rows.js'
import type { RangeColumns } from './columns.js'
import { readRanges } from './csv.js'
import { USUAL_FORMAT, type TableFormat } from './format.js'
import { mostSpecific } from './most-specific.js'
import { sortedOrder, withoutOverlaps } from './order.js'
import { Problems, type SkippedLines } from './problems.js'
import type { ShrinkLimit } from './row-counts.js'

export interface TableFiles {
  readonly ipv4: string
  readonly ipv6: string
  /** How both are written. Default: {@link USUAL_FORMAT}. */
  readonly format?: TableFormat | undefined
}

/** One family's rows, and their numbers in ascending order. */
export interface FamilyRows {
  readonly columns: RangeColumns
  readonly order: Uint32Array
  /** What rows say, by their `entries`: JSON. */
  readonly texts: readonly string[]
  /** Overlaps of the published data that are known and tolerated. */
  readonly knownOverlaps: number
}
export interface TableRows {
  readonly ipv4: FamilyRows
  readonly ipv6: FamilyRows
  readonly skipped: SkippedLines
}

export interface ReadOptions {
  /** Default: any number of ranges will do, but 0. */
  readonly limit?: ShrinkLimit | undefined
  /** Told how many bytes have been read, now and then. */
  readonly onBytes?: (bytes: number) => void
}

/** What a table that replaces none is measured by. */
const NO_LIMIT: ShrinkLimit = { served: { ipv4: 0, ipv6: 0 }, maxShrink: 100 }

/** @throws TableRefusedError, FileError. */
export async function readTable(
  files: TableFiles,
  { limit = NO_LIMIT, onBytes = () => undefined }: ReadOptions = {},
): Promise<TableRows> {
  const format = files.format ?? USUAL_FORMAT
  const problems = new Problems(format.skipBad)
  const read = async (family: 4 | 6): Promise<FamilyRows> => {
    const file = family === 4 ? files.ipv4 : files.ipv6
    const before = problems.total
    const rows = await readFamily(file, family, format, problems, onBytes)
    const served = family === 4 ? limit.served.ipv4 : limit.served.ipv6
    // Lines that are refused are missing for another reason.
    if (problems.total === before || problems.areSkippable)
      checkRows(file, rows.order.length, served, limit, problems)
    return rows
  }
  const ipv4 = await read(4)
  const ipv6 = await read(6)
  const rows = { ipv4: ipv4.order.length, ipv6: ipv6.order.length }
  if (rows.ipv4 + rows.ipv6 === 0 && problems.total === 0)
    problems.refuse(files.ipv4, 0, 'holds no range, and the other file neither')
  problems.throwIfAny(rows)
  return { ipv4, ipv6, skipped: problems.skipped }
}

async function readFamily(
  file: string,
  family: 4 | 6,
  format: TableFormat,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<FamilyRows> {
  const { columns, entries } = await readRanges(file, family, format, problems, onBytes)
  const { texts } = entries
  const sorted = sortedOrder(columns)
  if (format.overlap === 'most-specific') {
    const flat = mostSpecific(columns, sorted)
    return { columns: flat, order: sortedOrder(flat), texts, knownOverlaps: 0 }
  }
  const { order, known } = withoutOverlaps(columns, sorted, file, problems)
  return { columns, order, texts, knownOverlaps: known }
}
