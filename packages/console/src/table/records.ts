/**
 * Reads the records of a CSV file, with quotes as in RFC 4180. Nothing is repaired: what is not as
 * it should be is a problem with its line number, and reading goes on to find the rest.
 *
 * A file that is being written is not read as if it were whole, as far as that shows: its last line
 * has no line end, or it changes while it is read.
 */
import { pipeline } from 'node:stream/promises'
import { parse, type CsvError } from 'csv-parse'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import type { TableFormat } from './format.js'
import type { Problems } from './problems.js'
import { withSource, type Pieces, type Source, type WhatWasRead } from './source.js'

/** A record longer than this has lost its closing quote. */
const MAX_RECORD_BYTES = 64 * 1024
/** What is looked at to tell how a file is written. */
const SAMPLE_BYTES = 16 * 1024
const LINE_ENDS: readonly (number | undefined)[] = [0x0a, 0x0d]
const REPLACEMENT = '\ufffd'

export type RecordFormat = Pick<TableFormat, 'separator' | 'header' | 'encoding' | 'multiline'>

export interface RecordSink {
  /** What is wrong with a file as a whole that begins with `sample`: then nothing of it is read. */
  readonly diagnose?: (sample: string) => string | undefined
  /** The first record, if it names the columns. */
  readonly header?: (cells: readonly string[], complain: (text: string) => void) => void
  readonly record: (cells: readonly string[], line: number, complain: (text: string) => void) => void
}

/**
 * Reads `file` to its end. Resolves with what it was, unless it is no plain file, or was refused.
 *
 * @param onBytes told how many bytes of the file have been read, now and then
 * @throws FileError if it cannot be read. What is wrong inside goes to `problems`.
 */
export async function readRecords(
  file: string,
  format: RecordFormat,
  problems: Problems,
  onBytes: (bytes: number) => void,
  sink: RecordSink,
): Promise<Source | undefined> {
  const reader = new RecordReader(file, format, problems, sink)
  try {
    reader.ended(await withSource(file, onBytes, (pieces) => reader.read(pieces)))
  } catch (error) {
    reader.failed(error)
  }
  return reader.source
}

class RecordReader {
  source: Source | undefined
  readonly #file: string
  readonly #format: RecordFormat
  readonly #problems: Problems
  readonly #sink: RecordSink
  readonly #decoder = new TextDecoder('utf-8', { fatal: true })
  /** Line on which the record that is being read begins. */
  #line = 1
  #lastByte: number | undefined
  #isDiagnosed = false
  /** Whether bytes have come that are not UTF-8: the parser has put U+FFFD in their place. */
  #isOtherEncoding = false

  constructor(file: string, format: RecordFormat, problems: Problems, sink: RecordSink) {
    this.#file = file
    this.#format = format
    this.#problems = problems
    this.#sink = sink
  }

  async read(pieces: Pieces): Promise<void> {
    const { encoding, separator } = this.#format
    const parser = parse({
      bom: true,
      encoding,
      delimiter: separator,
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      max_record_size: MAX_RECORD_BYTES,
      skip_records_with_error: true,
      on_skip: (error) => {
        this.#skipped(error)
        return undefined
      },
      on_record: (record: string[], { lines }) => {
        this.#record(record, lines)
        return null
      },
    })
    await pipeline(this.#checked(pieces), parser.resume())
  }

  /** Tells what shows at the end. */
  ended(what: WhatWasRead): void {
    const refuse = (line: number, text: string) => this.#problems.refuse(this.#file, line, text)
    if (what === 'changed')
      return refuse(0, 'was changed while it was read: write another file, and move it here')
    if (what !== 'other') this.source = what
    if (this.#isDiagnosed || this.#lastByte === undefined || LINE_ENDS.includes(this.#lastByte)) return
    refuse(
      this.#line - 1,
      'has no line end: the file is cut short or still being written; if it is whole, end its last line',
    )
  }

  failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    const code = codeOf(error) ?? ''
    if (code.startsWith('CSV_')) this.#skipped(error as CsvError)
    else if (code.startsWith('Z_')) this.#problems.refuse(this.#file, 0, `is not gzip to its end: ${message}`)
    else throw new FileError(`cannot read ${this.#file}: ${message}`, { file: this.#file }, { cause: error })
  }

  /** The pieces, looked at before they are parsed. */
  async *#checked(pieces: Pieces): AsyncGenerator<Buffer> {
    const { encoding } = this.#format
    for await (const piece of pieces) {
      if (this.#lastByte === undefined && this.#diagnose(piece)) return
      this.#lastByte = piece.at(-1) ?? this.#lastByte
      if (encoding === 'utf8' && !this.#isOtherEncoding) this.#isOtherEncoding = !this.#isUtf8(piece)
      yield piece
    }
  }

  #diagnose(piece: Buffer): boolean {
    const sample = piece.subarray(0, SAMPLE_BYTES).toString(this.#format.encoding)
    const text = this.#sink.diagnose?.(sample)
    if (text === undefined) return false
    this.#problems.refuse(this.#file, 1, text)
    this.#isDiagnosed = true
    return true
  }

  #isUtf8(piece: Buffer): boolean {
    try {
      this.#decoder.decode(piece, { stream: true })
      return true
    } catch (error) {
      if (codeOf(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return false
      throw error
    }
  }

  #record(record: readonly string[], lastLine: number): void {
    const line = this.#line
    this.#line = lastLine + 1
    if (record.length === 1 && record[0] === '') return
    const complain = (text: string) => this.#problems.add(this.#file, line, text)
    if (line === 1 && this.#format.header) {
      this.#sink.header?.(record, complain)
      return
    }
    if (this.#isOtherEncoding && record.some((cell) => cell.includes(REPLACEMENT)))
      return complain('holds bytes that are not UTF-8: --encoding latin1 reads Latin-1')
    if (lastLine > line && !this.#format.multiline)
      return complain(
        `has a quote that closes on line ${lastLine} only: it is missing here, or --multiline takes line ends in quotes`,
      )
    this.#sink.record(record, line, complain)
  }

  /** A record that cannot be told from the next: the parser goes on at the next line end. */
  #skipped(error: CsvError | undefined): void {
    const found = error?.['lines']
    const lastLine = typeof found === 'number' ? found : this.#line
    // Told once of a line, though the parser may stumble more often.
    if (lastLine < this.#line) return
    const message = error?.message.replace(/ at line \d+/, '') ?? 'unknown error'
    const cut = lastLine > this.#line ? ', in a quote that is opened here' : ''
    this.#problems.add(this.#file, this.#line, `is not CSV${cut}: ${message}`)
    this.#line = lastLine + 1
  }
}
