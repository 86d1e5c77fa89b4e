import { TableRefusedError, type Problem } from '../errors.js'
import type { RowCounts } from './row-counts.js'

/** Problems beyond this many are counted, not listed. */
export const LISTED_PROBLEMS = 20

/** Lines that were left out, as far as they may be. */
export interface SkippedLines {
  readonly lines: number
  /** What is wrong with the first of them. */
  readonly problems: readonly Problem[]
}

export const NOT_SKIPPED: SkippedLines = { lines: 0, problems: [] }

/** What is wrong with the files of a table; collected, so that one attempt tells all. */
export class Problems {
  readonly #listed: Problem[] = []
  readonly #skippable: number
  #total = 0
  #lines = 0
  #isRefused = false
  #last: { readonly file: string; readonly line: number } | undefined

  /** @param skippable lines that may be skipped */
  constructor(skippable = 0) {
    this.#skippable = skippable
  }

  get total(): number {
    return this.#total
  }
  /** Whether a table may go live in spite of them. */
  get areSkippable(): boolean {
    return !this.#isRefused && this.#lines <= this.#skippable
  }
  get skipped(): SkippedLines {
    return { lines: this.#lines, problems: this.#sorted() }
  }

  /** A line that cannot be read, or contradicts another one. */
  add(file: string, line: number, text: string): void {
    if (this.#last?.file !== file || this.#last.line !== line) this.#lines++
    this.#last = { file, line }
    this.#note({ file, line, text })
  }

  /** Something for which the file is refused as a whole. */
  refuse(file: string, line: number, text: string): void {
    this.#isRefused = true
    this.#note({ file, line, text })
  }

  /**
   * @param rows ranges of addresses that could be read, for the error
   * @throws TableRefusedError unless all can be skipped; those listed are in the order of files and
   * lines.
   */
  throwIfAny(rows?: RowCounts): void {
    if (!this.areSkippable) throw new TableRefusedError(this.#sorted(), this.#total, rows)
  }

  #note(problem: Problem): void {
    this.#total++
    if (this.#listed.length < LISTED_PROBLEMS) this.#listed.push(problem)
  }
  #sorted(): readonly Problem[] {
    const files = this.#listed.map(({ file }) => file)
    return this.#listed.toSorted((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line)
  }
}
