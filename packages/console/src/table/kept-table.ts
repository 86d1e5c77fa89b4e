/** The table as earlier readings have kept it beside its files, or in the cache folder. */
import { devNull } from 'node:os'
import { RangeColumns } from './columns.js'
import { FileTable } from './file-table.js'
import { fieldsOf, USUAL_FORMAT } from './format.js'
import type { LookupTable } from './lookup-table.js'
import { pack, type PackedRows } from './packed.js'
import { openPacked, takeAll, type OpenPacked } from './packed-file.js'
import { NOT_SKIPPED } from './problems.js'
import type { TableFiles, TableRows } from './read.js'

export interface KeptTable {
  /** For a few look-ups, which come before the rows are there. */
  readonly first: LookupTable
  /** All rows, of the same reading. @throws FileError. */
  rows(): Promise<TableRows>
  close(): Promise<void>
}

/**
 * Undefined if a file has no rows kept. For a family on the null device there is nothing to keep.
 * What is kept is open until it is closed, whatever takes its place.
 */
export async function openKept(files: TableFiles): Promise<KeptTable | undefined> {
  const { ipv4, ipv6, format = USUAL_FORMAT, keepPacked } = files
  if (keepPacked !== true) return undefined
  const openOf = async (file: string, family: 4 | 6) =>
    file === devNull ? undefined : openPacked(file, family, format)
  const opened = await Promise.all([openOf(ipv4, 4), openOf(ipv6, 6)])
  const [kept4, kept6] = opened
  const close = async () => {
    for (const each of opened) await each?.close()
  }
  const isWhole = (file: string, kept: OpenPacked | undefined) =>
    file === devNull || (kept !== undefined && kept.rows.layout.rows > 0)
  if (!(isWhole(ipv4, kept4) && isWhole(ipv6, kept6) && (kept4 ?? kept6))) {
    await close()
    return undefined
  }
  return {
    first: new FileTable(kept4?.rows, kept6?.rows, fieldsOf(format.columns)),
    async rows() {
      const [rows4, rows6] = await Promise.all([kept4?.load(), kept6?.load()])
      return { ipv4: rows4 ?? noRows(4), ipv6: rows6 ?? noRows(6), skipped: NOT_SKIPPED }
    },
    close,
  }
}

/** All rows that are kept. Undefined if a file has none, or they cannot be read any more. */
export async function readKept(files: TableFiles): Promise<TableRows | undefined> {
  return takeAll(await openKept(files), (kept) => kept.rows())
}

function noRows(family: 4 | 6): PackedRows {
  return pack(new RangeColumns(family), new Uint32Array(0), [], 0)
}
