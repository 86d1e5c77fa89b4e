/**
 * Reads the rows of a table from a file of CSV or NDJSON, packed with gzip or not, and puts them in
 * order. Nothing is repaired, and nothing is taken twice: what is wrong is told with its line.
 */
import { shorten } from '../address/parse.js'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import { Problems, type SkippedLines } from '../table/problems.js'
import { readRecords } from '../table/records.js'
import { withSource } from '../table/source.js'
import { visible } from '../visible.js'
import {
  BadKey,
  guessKeyKind,
  keyCodecs,
  parseRange,
  rangeOf,
  type Key,
  type KeyCodec,
  type KeyKind,
  type KeyRange,
} from './keys.js'
import { MAX_VALUE_BYTES } from './table.js'
import type { RowColumn, TableSource } from './source.js'

/** In the order of their keys; ranges do not overlap. */
export interface ReadRows {
  readonly keys: KeyKind
  readonly rows: readonly ReadRow[]
  readonly skipped: SkippedLines
}
export interface ReadRow extends KeyRange {
  /** JSON: an object with all other columns. */
  readonly value: string
  readonly line: number
}

type Complain = (text: string) => void
const NDJSON = /\.(ndjson|jsonl)(\.gz)?$/i
const NEWLINE = 0x0a
/** Longest line of NDJSON: a value, with white space. */
const LINE_BYTES = 4 * MAX_VALUE_BYTES
const decoder = new TextDecoder('utf-8', { fatal: true })
const DECIMAL = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/

/**
 * @param keys what they are, if that is known already
 * @throws TableRefusedError for what is wrong with the file; FileError if it cannot be read
 */
export async function readRows(
  source: TableSource,
  keys: KeyKind | undefined,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<ReadRows> {
  const problems = new Problems(source.format.skipBad)
  const collector = new Collector(source, keys, problems)
  await (NDJSON.test(source.file)
    ? readLines(collector, problems, onBytes)
    : readCsv(collector, problems, onBytes))
  // As what it would be kept is never known again.
  if (!collector.hasKeys && problems.total === 0)
    problems.refuse(
      source.file,
      0,
      'has no rows: the first one says whether ranges are of numbers or of addresses',
    )
  const rows = collector.sorted()
  problems.throwIfAny()
  return { keys: collector.codec.kind, rows, skipped: problems.skipped }
}

async function readCsv(
  collector: Collector,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { file, format } = collector.source
  let columns: readonly RowColumn[] = []
  let places: readonly number[] | undefined
  const useColumns = (used: readonly RowColumn[]) => {
    columns = used
    places = collector.source.columns.map((name) => used.findIndex((column) => column.name === name))
    const missing = collector.source.columns.filter((_, i) => places?.[i] === -1)
    if (missing.length === 0) return
    places = undefined
    const there = used.map(({ name }) => visible(shorten(name))).join(', ')
    problems.refuse(file, 1, `has no column ${missing.map(visible).join(', ')}: there are ${there}`)
  }
  if (format.columns) useColumns(format.columns)
  const found = { isEmpty: true }
  await readRecords(file, { ...format, header: format.header || !format.columns }, problems, onBytes, {
    header(cells) {
      found.isEmpty = false
      if (format.columns) return
      const names = cells.map((name) => name.trim())
      const twice = names.find((name, i) => names.indexOf(name) !== i)
      if (twice === undefined) useColumns(names.map((name) => ({ name, isNumber: false })))
      else
        problems.refuse(
          file,
          1,
          `names column '${visible(shorten(twice))}' twice: --columns gives other names`,
        )
    },
    record(cells, line, complain) {
      found.isEmpty = false
      if (!places) return
      if (cells.length !== columns.length) {
        complain(
          `has ${cells.length === 1 ? 'one column' : `${cells.length} columns`}, not ${columns.length} as its header`,
        )
        return
      }
      const keyCells = places
      const fields: string[] = []
      for (let at = 0; at < cells.length; at++) {
        const { name, isNumber } = columns[at] as RowColumn
        const cell = cells[at] as string
        if (name === '-' || keyCells.includes(at)) continue
        if (isNumber && cell !== '' && !(DECIMAL.test(cell) && Number.isFinite(Number(cell)))) {
          complain(`${name} '${shorten(cell)}' is not a decimal number below 2^1024`)
          return
        }
        fields.push(
          `${JSON.stringify(name)}:${isNumber ? (cell === '' ? 'null' : JSON.stringify(Number(cell))) : JSON.stringify(cell)}`,
        )
      }
      collector.add(
        keyCells.map((at) => cells[at]),
        `{${fields.join(',')}}`,
        line,
        complain,
      )
    },
  })
  if (found.isEmpty && !format.columns && problems.total === 0)
    problems.refuse(file, 0, 'is empty: its first line names the columns, or --columns does')
}

async function readLines(
  collector: Collector,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const { file } = collector.source
  try {
    const what = await withSource(file, onBytes, async (pieces) => {
      let line = 0
      const tooLong = () => problems.refuse(file, line + 1, `is longer than ${LINE_BYTES} bytes`)
      for await (const bytes of linesOf(pieces, tooLong)) {
        line++
        const complain: Complain = (problem) => problems.add(file, line, problem)
        const record = textOf(bytes)
        if (record === undefined) complain('holds bytes that are not UTF-8')
        else if (record.trim() !== '') addRecord(collector, record, line, complain)
      }
    })
    if (what === 'changed')
      problems.refuse(file, 0, 'was changed while it was read: write another file, and move it here')
  } catch (error) {
    const code = codeOf(error) ?? ''
    const message = error instanceof Error ? error.message : String(error)
    if (code.startsWith('Z_')) problems.refuse(file, 0, `is not gzip to its end: ${message}`)
    else throw new FileError(`cannot read ${file}: ${message}`, { file }, { cause: error })
  }
}

/** Ended by line feeds only: other characters that end lines may stand in texts of JSON. */
async function* linesOf(pieces: AsyncIterable<Buffer>, tooLong: () => void): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const piece of pieces) {
    let start = 0
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
      yield Buffer.concat([...rest, piece.subarray(start, end)])
      rest = []
      restBytes = 0
      start = end + 1
    }
    rest.push(Buffer.from(piece.subarray(start)))
    restBytes += piece.length - start
    if (restBytes > LINE_BYTES) {
      tooLong()
      return
    }
  }
  if (restBytes > 0) yield Buffer.concat(rest)
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

function addRecord(collector: Collector, record: string, line: number, complain: Complain): void {
  const { columns } = collector.source
  const row = objectOf(record)
  if (row === undefined) return complain(`is no JSON object: '${shorten(record)}'`)
  const rounded = columns.find((name) => Number.isInteger(row[name]) && !Number.isSafeInteger(row[name]))
  if (rounded !== undefined)
    return complain(`${visible(rounded)} is a number above 2^53 - 1, which is not read exactly: write a text`)
  const { cells, rest } = splitFields(row, columns)
  const value = jsonOf(rest)
  if (value === undefined) return complain('is nested too deeply')
  collector.add(cells, value, line, complain)
}

/** Undefined for what is nested more deeply than there is stack for. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

/** The fields that are the key, and an object of the others. */
function splitFields(
  row: Readonly<Record<string, unknown>>,
  names: readonly string[],
): { readonly cells: readonly (string | undefined)[]; readonly rest: Readonly<Record<string, unknown>> } {
  const cells = names.map((name) => {
    const value = Object.hasOwn(row, name) ? row[name] : undefined
    return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined
  })
  return { cells, rest: Object.fromEntries(Object.entries(row).filter(([name]) => !names.includes(name))) }
}

/** Rows as they come, with their keys read. */
class Collector {
  readonly source: TableSource
  readonly #problems: Problems
  #codec: KeyCodec | undefined
  readonly #rows: ReadRow[] = []

  constructor(source: TableSource, keys: KeyKind | undefined, problems: Problems) {
    this.source = source
    this.#problems = problems
    const known = keys ?? (source.isRange ? undefined : 'text')
    this.#codec = known && keyCodecs[known]
  }

  /** Whether it is known what the keys are. */
  get hasKeys(): boolean {
    return this.#codec !== undefined
  }
  /** That of addresses for a file without rows, which is refused. */
  get codec(): KeyCodec {
    return this.#codec ?? keyCodecs.address
  }

  add(cells: readonly (string | undefined)[], value: string, line: number, complain: Complain): void {
    const absent = cells.findIndex((cell) => cell === undefined)
    if (absent >= 0) return complain(`has no ${visible(this.source.columns[absent] ?? 'key')}`)
    if (Buffer.byteLength(value) > MAX_VALUE_BYTES)
      return complain(`has a value of more than ${MAX_VALUE_BYTES} bytes`)
    const [first = '', second] = cells as readonly string[]
    this.#codec ??= keyCodecs[guessKeyKind(first.split('-')[0]?.trim() ?? '')]
    const range = this.#range(this.#codec, first, second)
    if (range instanceof BadKey) {
      const shown = shorten(second === undefined ? first : `${first},${second}`)
      return complain(`${this.source.columns.join(',')} '${visible(shown)}' ${range.reason}`)
    }
    this.#rows.push({ ...range, value, line })
  }

  #range(codec: KeyCodec, first: string, second: string | undefined): KeyRange | BadKey {
    if (this.source.isRange && second === undefined) return parseRange(codec, first)
    const from = codec.parse(first)
    if (from instanceof BadKey) return from
    const to = second === undefined ? from : codec.parse(second)
    return to instanceof BadKey ? to : rangeOf(codec, from, to)
  }

  /** In order, without those that say something of a key that an earlier one speaks of. */
  sorted(): readonly ReadRow[] {
    const { compare } = this.codec
    const rows = this.#rows.sort((one, other) => compare(one.from, other.from) || one.line - other.line)
    let last: ReadRow | undefined
    return rows.filter((row) => {
      if (last && compare(row.from, last.to) <= 0) {
        this.#problems.add(this.source.file, row.line, this.#overlap(row, last))
        return false
      }
      last = row
      return true
    })
  }
  #overlap({ from, to }: KeyRange, other: ReadRow): string {
    const shown = (key: Key) => visible(String(this.codec.toJson(key)))
    return this.source.isRange
      ? `overlaps line ${other.line}: ${shown(from)}-${shown(to)} and ${shown(other.from)}-${shown(other.to)}`
      : `has the same key as line ${other.line}: '${shorten(shown(from))}'`
  }
}
