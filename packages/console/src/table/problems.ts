import { TableRefusedError, type Problem } from '../errors.js'
import type { RowCounts } from './row-counts.js'

/** Problems beyond this many are counted, not listed. */
export const LISTED_PROBLEMS = 20

/** What is wrong with the files of a table; collected, so that one attempt tells all. */
export class Problems {
  readonly #listed: Problem[] = []
  #total = 0

  get total(): number {
    return this.#total
  }

  add(file: string, line: number, text: string): void {
    this.#total++
    if (this.#listed.length < LISTED_PROBLEMS) this.#listed.push({ file, line, text })
  }

  /**
   * @param rows ranges that could be read, for the error
   * @throws TableRefusedError if there is any problem; those listed are in the order of files and
   * lines.
   */
  throwIfAny(rows: RowCounts): void {
    if (this.#total === 0) return
    const files = this.#listed.map(({ file }) => file)
    const listed = this.#listed.toSorted(
      (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line,
    )
    throw new TableRefusedError(listed, this.#total, rows)
  }
}
