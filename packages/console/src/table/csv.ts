/**
 * Reads one family's ranges: `first,last,asn,organisation` a line, first and last address
 * inclusive, quotes as in RFC 4180. Nothing is repaired: what is not as it should be is a problem
 * with its line number, and reading goes on to find the rest.
 *
 * A file that is being written is not read as if it were whole, as far as that shows: its last line
 * has no line end, or it changes while it is read.
 */
import { constants, open as openFile, type BigIntStats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { Transform, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { parse, type CsvError } from 'csv-parse'
import { explainBadAddress, parseAddress, shorten, type Address } from '../address/parse.js'
import { FileError } from '../errors.js'
import { BIAS, RangeColumns, type Entries } from './columns.js'
import type { Problems } from './problems.js'

const COLUMNS = 4
const MAX_ASN = 0xffff_ffff
/** A record longer than this has lost its closing quote. */
const MAX_RECORD_BYTES = 64 * 1024
const PIECE_BYTES = 1 << 18
const LINE_ENDS: readonly (number | undefined)[] = [0x0a, 0x0d]

/**
 * Reads `file` to its end. About 4 µs a row, most of it the CSV parser's.
 *
 * @param onBytes told how many bytes of the file have been read, now and then
 * @throws FileError if it cannot be read. What is wrong inside goes to `problems`.
 */
export async function readRanges(
  file: string,
  family: 4 | 6,
  entries: Entries,
  problems: Problems,
  onBytes: (bytes: number) => void,
): Promise<RangeColumns> {
  const reader = new RangeReader(file, family, entries, problems)
  const parser = parse({
    bom: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: MAX_RECORD_BYTES,
    skip_records_with_error: true,
    on_skip: (error) => {
      reader.skipped(error)
      return undefined
    },
    on_record: (record: string[], { lines }) => {
      reader.row(record, lines)
      return null
    },
  })
  let lastByte: number | undefined
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes(chunk.length)
      lastByte = chunk.at(-1)
      done(null, chunk)
    },
  })
  try {
    const hasChanged = await withFile(file, (stream) => pipeline(stream, counter, parser.resume()))
    if (hasChanged) reader.problem(0, 'was changed while it was read: write another file, and move it here')
    else if (lastByte !== undefined && !LINE_ENDS.includes(lastByte))
      reader.problem(
        parser.info.lines,
        'has no line end: the file is cut short or still being written; if it is whole, end its last line',
      )
  } catch (error) {
    if (!isCsvError(error)) {
      throw new FileError(
        `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
        { file },
        { cause: error },
      )
    }
    reader.skipped(error)
  }
  return reader.columns
}

/** Has `read` take the file's bytes. Resolves with whether the file was changed meanwhile. */
async function withFile(file: string, read: (bytes: Readable) => Promise<void>): Promise<boolean> {
  if ((await stat(file)).isFIFO()) {
    await withPipe(file, read)
    return false
  }
  const handle = await open(file)
  try {
    const before = await handle.stat({ bigint: true })
    await read(handle.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false }))
    return before.isFile() && isOther(await handle.stat({ bigint: true }), before)
  } finally {
    await handle.close()
  }
}

/**
 * A named pipe, whose writer may come late or never. Neither opening nor reading it blocks a thread
 * here, so that a loader can be ended meanwhile.
 */
async function withPipe(file: string, read: (bytes: Readable) => Promise<void>): Promise<void> {
  const fd = await promisify(openFile)(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const stream = new Socket({ fd, readable: true, writable: false })
  try {
    await read(stream)
  } finally {
    stream.destroy()
  }
}

function isOther(now: BigIntStats, before: BigIntStats): boolean {
  return now.size !== before.size || now.mtimeNs !== before.mtimeNs
}

class RangeReader {
  readonly columns: RangeColumns
  readonly #file: string
  readonly #family: 4 | 6
  readonly #entries: Entries
  readonly #problems: Problems

  constructor(file: string, family: 4 | 6, entries: Entries, problems: Problems) {
    this.columns = new RangeColumns(family)
    this.#file = file
    this.#family = family
    this.#entries = entries
    this.#problems = problems
  }

  row(record: readonly string[], line: number): void {
    if (record.length !== COLUMNS) {
      return this.problem(
        line,
        `has ${record.length} columns, expected ${COLUMNS}: first, last, AS number, organisation`,
      )
    }
    const [first = '', last = '', asnText = '', organisation = ''] = record
    const start = this.#address('first address', first, line)
    const end = this.#address('last address', last, line)
    const asn = parseAsn(asnText)
    if (asn === undefined)
      this.problem(line, `AS number '${shorten(asnText)}' is not a whole number of 0–${MAX_ASN}`)
    if (start === undefined || end === undefined || asn === undefined) return
    if (compare(end, start) < 0)
      return this.problem(line, `the range ends at ${last}, before its start ${first}`)
    const { starts, ends, entries, lines } = this.columns
    starts.forEach((column, i) => column.push((start[i] as number) ^ BIAS))
    ends.forEach((column, i) => column.push((end[i] as number) ^ BIAS))
    entries.push(this.#entries.add(asn, organisation))
    lines.push(line)
  }

  skipped(error: CsvError | undefined): void {
    const line = typeof error?.['lines'] === 'number' ? error['lines'] : 0
    this.problem(line, `is not CSV: ${error?.message ?? 'unknown error'}`)
  }

  #address(what: string, text: string, line: number): readonly number[] | undefined {
    const address = parseAddress(text)
    if (!address) {
      this.problem(line, `${what} '${shorten(text)}' is refused: ${explainBadAddress(text)}`)
      return undefined
    }
    if (address.family !== this.#family) {
      this.problem(
        line,
        `${what} '${text}' is IPv${address.family}${mapped(text, address)}, in a file of IPv${this.#family}`,
      )
      return undefined
    }
    return address.family === 4 ? [address.word] : address.words
  }

  problem(line: number, text: string): void {
    this.#problems.add(this.#file, line, text)
  }
}

function mapped(text: string, address: Address): string {
  return address.family === 4 && text.includes(':') ? ' mapped to IPv6' : ''
}

function parseAsn(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined
  const asn = Number(text)
  return asn <= MAX_ASN ? asn : undefined
}

/** Orders addresses of one family. */
function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const difference = ((a[i] as number) >>> 0) - ((b[i] as number) >>> 0)
    if (difference !== 0) return difference
  }
  return 0
}

function isCsvError(error: unknown): error is CsvError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('CSV_')
}
