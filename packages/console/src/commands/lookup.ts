/**
 * `percpu lookup`: addresses from files or standard input, answers in the same order, on all cores.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { boot } from 'percpu'
import { parseAddress } from '../address/parse.js'
import type { AddressRules } from '../address/rules.js'
import { FileError } from '../errors.js'
import { LookupPool } from '../lookup/pool.js'
import { openOutput } from '../lookup/output.js'
import { ReaderGoneError, type OutputSink } from '../lookup/sinks.js'
import { answerStream, type InputFormat } from '../lookup/stream.js'
import { SPARE_CPUS, TABLE_NAME } from '../serve/settings.js'
import { fieldsOf, USUAL_FORMAT } from '../table/format.js'
import { loadTable } from '../table/load.js'
import type { SkippedLines } from '../table/problems.js'
import type { TableFiles } from '../table/read.js'
import { bytesProgress } from './progress.js'

export interface LookupOptions {
  /** Input files in order; `-` is standard input. */
  readonly inputs: readonly string[]
  readonly output: string | undefined
  readonly format: InputFormat
  readonly workers: number
  readonly files: TableFiles
  readonly rules: AddressRules
  readonly memory: number
}

/** Read at once, and given to a worker at once. */
const BATCH_BYTES = 256 * 1024
/** Batches under way, per worker: in work, ready, and being written. */
const WINDOW = 4

/**
 * Answers all inputs. Resolves with the exit code. An output file is as before until all is
 * answered.
 *
 * @throws UsageError, TableRefusedError, FileError, MalformedInputError …
 */
export async function lookup(options: LookupOptions): Promise<number> {
  const { inputs, output, files } = options
  await checkInputs(inputs)
  const sink = await openOutput(output, [...inputs, files.ipv4, files.ipv6])
  try {
    await answerInputs(options, sink)
    await sink.finish()
    return 0
  } catch (error) {
    // The reader of our output has seen enough, as in `percpu lookup … | head`.
    if (error instanceof ReaderGoneError) return 0
    throw error
  } finally {
    await sink.discard()
  }
}

async function answerInputs(options: LookupOptions, sink: OutputSink): Promise<void> {
  const { workers, files, rules, memory } = options
  const machine = boot({ memory, cpus: Math.min(256, workers + SPARE_CPUS) })
  const fields = fieldsOf((files.format ?? USUAL_FORMAT).columns)
  const pool = new LookupPool(machine, { workers, table: TABLE_NAME, fields, rules })
  try {
    const loading = bytesProgress('loading table')
    const { skipped } = await loadTable(machine, TABLE_NAME, files, {
      onProgress: ({ bytes, total }) => loading.update(bytes, total),
    }).finally(() => loading.stop())
    if (skipped.lines > 0) process.stderr.write(`percpu: ${skippedText(skipped)}\n`)
    await pool.ready()
    for (const input of options.inputs) await answerInput(pool, input, sink, options)
  } finally {
    await pool.close()
    await machine.offline()
  }
}

async function answerInput(
  pool: LookupPool,
  input: string,
  sink: OutputSink,
  { format, workers }: LookupOptions,
): Promise<void> {
  const progress = bytesProgress(input === '-' ? 'standard input' : input)
  const total = input === '-' ? 0 : (await stat(input)).size
  const stream = input === '-' ? process.stdin : createReadStream(input, { highWaterMark: BATCH_BYTES })
  const pieces = piecesOf(stream, input, (bytes) => progress.update(bytes, total))
  try {
    await answerStream(pool, pieces, sink, { format, batchBytes: BATCH_BYTES, window: workers * WINDOW })
  } finally {
    stream.destroy()
    progress.stop()
  }
}

function skippedText({ lines, problems }: SkippedLines): string {
  const listed = problems.map(({ file, line, text }) => `  ${file}:${line}: ${text}`)
  return [`${lines} lines of the table were left out (--skip-bad):`, ...listed].join('\n')
}

/** The stream's pieces; says which input could not be read. */
async function* piecesOf(
  stream: Readable,
  input: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let bytes = 0
  try {
    for await (const piece of stream as AsyncIterable<Uint8Array>) {
      onBytes((bytes += piece.length))
      yield piece
    }
  } catch (error) {
    throw inputError(input, error)
  }
}

/** Fails early, before a table is loaded for nothing. */
async function checkInputs(inputs: readonly string[]): Promise<void> {
  for (const input of inputs) {
    if (input === '-') continue
    try {
      if ((await stat(input)).isDirectory()) throw new Error('it is a directory')
    } catch (error) {
      throw inputError(input, error)
    }
  }
}

function inputError(input: string, error: unknown): FileError {
  const name = input === '-' ? 'standard input' : input
  const isAddress = parseAddress(input) !== undefined
  const hint = isAddress ? `; addresses come from files: echo ${input} | percpu lookup` : ''
  return new FileError(
    `cannot read ${name}: ${error instanceof Error ? error.message : String(error)}${hint}`,
    { file: input },
    { cause: error },
  )
}
