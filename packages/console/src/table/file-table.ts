/**
 * Looks up in packed rows as they lie in a file: what a look-up needs is read for it, some 25
 * words. About 50 µs. Reading all rows takes as long as thousands of look-ups.
 */
import { readSync } from 'node:fs'
import { FileError } from '../errors.js'
import { BIAS } from './columns.js'
import { nothingOf, type LookupTable } from './lookup-table.js'
import type { PackedLayout } from './packed.js'

/** Rows in a file, which nobody changes while it is open. */
export interface FileRows {
  /** For messages. */
  readonly path: string
  readonly descriptor: number
  /** Where they begin. */
  readonly position: number
  readonly layout: PackedLayout
}

export class FileTable implements LookupTable {
  readonly nothing: Buffer
  readonly bounds = new Uint32Array(8)
  text: Uint8Array = new Uint8Array(0)
  readonly begin = 0
  end = 0
  readonly #ipv4: FileRows | undefined
  readonly #ipv6: FileRows | undefined
  readonly #word = new Int32Array(1)
  readonly #wordBytes = new Uint8Array(this.#word.buffer)

  /** @param fields columns of data */
  constructor(ipv4: FileRows | undefined, ipv6: FileRows | undefined, fields: readonly string[]) {
    this.nothing = nothingOf(fields)
    this.#ipv4 = ipv4
    this.#ipv6 = ipv6
  }

  /** @throws FileError. */
  find4(word: number): number {
    return this.#find(this.#ipv4, [word])
  }
  /** @throws FileError. */
  find6(words: ArrayLike<number>): number {
    return this.#find(this.#ipv6, words)
  }
  #find(rows: FileRows | undefined, words: ArrayLike<number>): number {
    if (!rows) return -1
    const { starts, ends, entries, family } = rows.layout
    let [low, high] = [0, rows.layout.rows]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#order(rows, starts, middle, words) <= 0) low = middle + 1
      else high = middle
    }
    const row = low - 1
    if (row < 0 || this.#order(rows, ends, row, words) < 0) return -1
    starts.forEach((column, i) => (this.bounds[i] = this.#read(rows, column, row) ^ BIAS))
    ends.forEach((column, i) => (this.bounds[starts.length + i] = this.#read(rows, column, row) ^ BIAS))
    return this.#read(rows, entries, row) * 2 + (family === 6 ? 1 : 0)
  }
  /** Orders the address in a row and one whose words are not biased. */
  #order(rows: FileRows, columns: readonly number[], row: number, words: ArrayLike<number>): number {
    for (const [i, column] of columns.entries()) {
      const difference = this.#read(rows, column, row) - (((words[i] as number) ^ BIAS) | 0)
      if (difference !== 0) return difference
    }
    return 0
  }

  /** @throws FileError. */
  readPair(number: number): void {
    const rows = (number % 2 === 0 ? this.#ipv4 : this.#ipv6) as FileRows
    const { textEnds, textsAt } = rows.layout
    const entry = number >>> 1
    const from = entry === 0 ? 0 : this.#read(rows, textEnds, entry - 1)
    this.end = this.#read(rows, textEnds, entry) - from
    this.text = new Uint8Array(this.end)
    fill(rows, this.text, textsAt + from)
  }

  #read(rows: FileRows, column: number, row: number): number {
    fill(rows, this.#wordBytes, column + row * 4)
    return this.#word[0] as number
  }
}

/** @throws FileError, also if there is less. */
function fill({ path, descriptor, position }: FileRows, bytes: Uint8Array, at: number): void {
  let reason = 'it has become shorter'
  try {
    if (readSync(descriptor, bytes, 0, bytes.length, position + at) === bytes.length) return
  } catch (error) {
    reason = error instanceof Error ? error.message : String(error)
  }
  throw new FileError(`cannot read ${path}: ${reason}`, { file: path })
}
