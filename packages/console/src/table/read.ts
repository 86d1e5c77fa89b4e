/** Reads the files of a table, and refuses what makes none. Nothing is shared yet. */
import { checkRows } from './check-rows.js'
import { Entries, type RangeColumns } from './columns.js'
import { readRanges } from './csv.js'
import { checkOverlaps, sortedOrder } from './order.js'
import { Problems } from './problems.js'
import type { ShrinkLimit } from './row-counts.js'

export interface TableFiles {
  readonly ipv4: string
  readonly ipv6: string
}

/** One family's rows, and their numbers in ascending order. */
export interface FamilyRows {
  readonly columns: RangeColumns
  readonly order: Uint32Array
}
export interface TableRows {
  readonly ipv4: FamilyRows
  readonly ipv6: FamilyRows
  readonly entries: Entries
  /** Overlaps of the published data that are known and tolerated. */
  readonly knownOverlaps: number
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
  const problems = new Problems()
  const entries = new Entries()
  const read = async (family: 4 | 6): Promise<RangeColumns> => {
    const file = family === 4 ? files.ipv4 : files.ipv6
    const before = problems.total
    const columns = await readRanges(file, family, entries, problems, onBytes)
    const served = family === 4 ? limit.served.ipv4 : limit.served.ipv6
    // Lines that are refused are missing for another reason.
    if (problems.total === before) checkRows(file, columns.lines.length, served, limit, problems)
    return columns
  }
  const columns4 = await read(4)
  const columns6 = await read(6)
  const ipv4 = { columns: columns4, order: sortedOrder(columns4) }
  const ipv6 = { columns: columns6, order: sortedOrder(columns6) }
  const knownOverlaps =
    checkOverlaps(columns4, ipv4.order, files.ipv4, problems) +
    checkOverlaps(columns6, ipv6.order, files.ipv6, problems)
  const rows = { ipv4: ipv4.order.length, ipv6: ipv6.order.length }
  if (rows.ipv4 + rows.ipv6 === 0 && problems.total === 0)
    problems.add(files.ipv4, 0, 'holds no range, and the other file neither')
  problems.throwIfAny(rows)
  return { ipv4, ipv6, entries, knownOverlaps }
}
