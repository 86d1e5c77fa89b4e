/**
 * Reads the files of a table, and refuses what makes none. Nothing is published yet. The reader of
 * CSV is loaded when there is no packed file to read.
 */
import { checkRows } from './check-rows.js'
import type { RangeColumns } from './columns.js'
import { USUAL_FORMAT, type TableFormat } from './format.js'
import { mostSpecific } from './most-specific.js'
import { pack, type PackedRows } from './packed.js'
import { readPacked, writePacked } from './packed-file.js'
import { sortedOrder, withoutOverlaps } from './order.js'
import { Problems, type SkippedLines } from './problems.js'
import type { ShrinkLimit } from './row-counts.js'

export interface TableFiles {
  readonly ipv4: string
  readonly ipv6: string
  /** How both are written. Default: {@link USUAL_FORMAT}. */
  readonly format?: TableFormat | undefined
  /** Whether what was read is kept beside them, and read there the next time. Default: false. */
  readonly keepPacked?: boolean | undefined
}

export interface TableRows {
  readonly ipv4: PackedRows
  readonly ipv6: PackedRows
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
  const read = async (family: 4 | 6): Promise<PackedRows> => {
    const file = family === 4 ? files.ipv4 : files.ipv6
    const before = problems.total
    const packed = files.keepPacked === true ? await readPacked(file, family, format) : undefined
    const rows = packed ?? (await readFamily(file, family, files, problems, onBytes))
    const served = family === 4 ? limit.served.ipv4 : limit.served.ipv6
    // Lines that are refused are missing for another reason.
    if (problems.total === before || problems.areSkippable)
      checkRows(file, rows.length, served, limit, problems)
    return rows
  }
  const ipv4 = await read(4)
  const ipv6 = await read(6)
  const rows = { ipv4: ipv4.length, ipv6: ipv6.length }
  if (rows.ipv4 + rows.ipv6 === 0 && problems.total === 0)
    problems.refuse(files.ipv4, 0, 'holds no range, and the other file neither')
  problems.throwIfAny(rows)
  return { ipv4, ipv6, skipped: problems.skipped }
}

async function readFamily(
  file: string,
  family: 4 | 6,
  { format = USUAL_FORMAT, keepPacked }: TableFiles,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<PackedRows> {
  const before = problems.total
  const { readRanges } = await import('./csv.js')
  const { columns, entries, source } = await readRanges(file, family, format, problems, onBytes)
  const rows = rowsOf(columns, entries.texts, format, (order) =>
    withoutOverlaps(columns, order, file, problems),
  )
  // What is bad is told each time.
  if (keepPacked === true && source && problems.total === before)
    await writePacked(file, source, format, rows)
  return rows
}

function rowsOf(
  columns: RangeColumns,
  texts: readonly string[],
  { overlap }: TableFormat,
  check: (order: Uint32Array) => { readonly order: Uint32Array; readonly known: number },
): PackedRows {
  const sorted = sortedOrder(columns)
  if (overlap === 'most-specific') {
    const flat = mostSpecific(columns, sorted)
    return pack(flat, sortedOrder(flat), texts, 0)
  }
  const { order, known } = check(sorted)
  return pack(columns, order, texts, known)
}
