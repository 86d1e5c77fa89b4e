/**
 * Reads one family's ranges from a file of CSV: a range a line. A file that is written in another
 * way altogether is one problem.
 */
import { BIAS, Entries, RangeColumns } from './columns.js'
import type { TableFormat } from './format.js'
import { diagnose } from './guess.js'
import type { Problems } from './problems.js'
import { readRecords } from './records.js'
import { RowReader } from './row-reader.js'
import type { Source } from './source.js'

export interface FileRanges {
  readonly columns: RangeColumns
  readonly entries: Entries
  /** Undefined if it is no plain file, or was refused. */
  readonly source: Source | undefined
}

/**
 * Reads `file` to its end. About 4 µs a row, most of it the CSV parser's.
 *
 * @param onBytes told how many bytes of the file have been read, now and then
 * @throws FileError if it cannot be read. What is wrong inside goes to `problems`.
 */
export async function readRanges(
  file: string,
  family: 4 | 6,
  format: TableFormat,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<FileRanges> {
  const columns = new RangeColumns(family)
  const found = new Entries()
  const rows = new RowReader(family, format.columns)
  const { starts, ends, entries, lines } = columns
  const source = await readRecords(file, format, problems, onBytes, {
    diagnose: (sample) => diagnose(sample, family, format),
    record(cells, line, complain) {
      const key = rows.read(cells, complain)
      if (key === undefined) return
      for (let i = 0; i < starts.length; i++) {
        starts[i]?.push((rows.start[i] as number) ^ BIAS)
        ends[i]?.push((rows.end[i] as number) ^ BIAS)
      }
      entries.push(found.add(key, () => rows.dataOf(cells)))
      lines.push(line)
    },
  })
  return { columns, entries: found, source }
}
