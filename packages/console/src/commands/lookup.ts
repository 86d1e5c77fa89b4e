/**
 * `percpu lookup`: addresses from files or standard input, answers in the same order, on all cores.
 * What a single address does not need is loaded when it is needed.
 */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { parseAddress } from '../address/parse.js'
import type { AddressRules } from '../address/rules.js'
import { FileError, MalformedInputError } from '../errors.js'
import { hasMark } from '../lookup/byte-order-mark.js'
import { Crew, OWN_BYTES } from '../lookup/crew.js'
import { PartError } from '../lookup/jobs.js'
import { checkEncoding, inUtf8 } from '../lookup/other-encodings.js'
import { openOutput } from '../lookup/output.js'
import { answerParts } from '../lookup/parts.js'
import { ReaderGoneError, writeError, type OutputSink } from '../lookup/sinks.js'
import { answerStream, type InputFormat, type StreamOptions } from '../lookup/stream.js'
import { fieldsOf, USUAL_FORMAT } from '../table/format.js'
import { bytesOf } from '../table/load.js'
import { openKept, type KeptTable } from '../table/kept-table.js'
import { PackedTable } from '../table/packed-table.js'
import type { SkippedLines } from '../table/problems.js'
import { readTable, type TableFiles, type TableRows } from '../table/read.js'
import { bytesProgress } from './progress.js'

export interface LookupOptions {
  /** Input files in order; `-` is standard input. */
  readonly inputs: readonly string[]
  readonly output: string | undefined
  readonly format: InputFormat
  readonly workers: number
  /** Where the table is. */
  readonly source: TableFiles | URL
  readonly rules: AddressRules
  readonly memory: number
}

/** Of a file, a part that a worker reads at once: its answers fit the caches of a processor. */
const PART_BYTES = 64 * 1024
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
  const { inputs, output, source } = options
  await checkInputs(inputs)
  const files = source instanceof URL ? [] : [source.ipv4, source.ipv6]
  const sink = await openOutput(output, [...inputs, ...files])
  try {
    if (source instanceof URL) await answerRemotely(options, source, sink)
    else await answerHere(options, source, sink)
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

async function answerRemotely(
  { inputs, format, output }: LookupOptions,
  server: URL,
  sink: OutputSink,
): Promise<void> {
  const { askService } = await import('../lookup/remote.js')
  for (const input of inputs)
    await naming(
      input,
      withInput(input, output, (pieces) => askService(server, pieces, format, sink)),
    )
}

async function answerHere(options: LookupOptions, files: TableFiles, sink: OutputSink): Promise<void> {
  const { inputs, format, output, workers, rules, memory } = options
  const fields = fieldsOf((files.format ?? USUAL_FORMAT).columns)
  const table = (await openKept(files)) ?? (await loadedTable(files, fields))
  const { first } = table
  const crew = new Crew({ first, rows: () => table.rows(), fields, rules, workers, memory })
  const how = { format, batchBytes: BATCH_BYTES, window: workers * WINDOW }
  try {
    for (const input of inputs) {
      if (await naming(input, answerFile(crew, input, output, sink, how))) continue
      await naming(
        input,
        withInput(input, output, (pieces) => answerStream(crew, pieces, sink, how)),
      )
    }
  } finally {
    await crew.close()
    await table.close()
  }
}

/** A table that was read, and kept in memory. */
async function loadedTable(files: TableFiles, fields: readonly string[]): Promise<KeptTable> {
  const rows = await readTableFiles(files)
  const { ipv4, ipv6, skipped } = rows
  if (skipped.lines > 0) process.stderr.write(`percpu: ${skippedText(skipped)}\n`)
  return {
    first: new PackedTable(ipv4, ipv6, fields),
    rows: () => Promise.resolve(rows),
    close: () => Promise.resolve(),
  }
}

/**
 * Has workers read and write, if both are files that let them: a long one that is no array, and an
 * output that has a name. Returns whether it has.
 */
async function answerFile(
  crew: Crew,
  input: string,
  output: string | undefined,
  sink: OutputSink,
  { format, window }: Pick<StreamOptions, 'format' | 'window'>,
): Promise<boolean> {
  if (input === '-' || !sink.file || format === 'json') return false
  const found = await ofInput(input, stat(input))
  // A pipe is opened once, by who reads it: its writer takes each opening for its reader.
  if (!found.isFile() || found.size <= OWN_BYTES) return false
  const handle = await ofInput(input, open(input))
  try {
    const { size } = await handle.stat()
    await checkEncoding(handle, input)
    if (await hasMark(handle)) return false
    const progress = await bytesProgress(input, output === undefined)
    let bytes = 0
    const onBytes = (more: number) => progress.update((bytes += more), size)
    try {
      const from = { descriptor: handle.fd, size }
      sink.file.position = await answerParts(crew, from, sink.file, {
        ...{ format, window, onBytes },
        partBytes: PART_BYTES,
      })
    } finally {
      progress.stop()
    }
    return true
  } catch (error) {
    if (!(error instanceof PartError)) throw error
    throw error.failure.while === 'reading' ? inputError(input, error) : writeError(output ?? '', error)
  } finally {
    await handle.close()
  }
}

async function readTableFiles(files: TableFiles): Promise<TableRows> {
  const loading = await bytesProgress('loading table')
  const total = await bytesOf(files)
  let bytes = 0
  return readTable(files, { onBytes: (more) => loading.update((bytes += more), total) }).finally(() => {
    loading.stop()
  })
}

/** Has `work` take what the input holds. Its answers go to `output`, or are printed. */
async function withInput(
  input: string,
  output: string | undefined,
  work: (pieces: AsyncIterable<Uint8Array>) => Promise<unknown>,
): Promise<void> {
  const progress = await bytesProgress(nameOf(input), output === undefined)
  const total = input === '-' ? 0 : (await stat(input)).size
  const stream = input === '-' ? process.stdin : createReadStream(input, { highWaterMark: BATCH_BYTES })
  try {
    const pieces = piecesOf(stream, input, (bytes) => progress.update(bytes, total))
    await work(inUtf8(nameOf(input), pieces))
  } finally {
    stream.destroy()
    progress.stop()
  }
}

function skippedText({ lines, problems }: SkippedLines): string {
  const listed = problems.map(({ file, line, text }) => `  ${file}:${line}: ${text}`)
  const left = lines === 1 ? '1 line of the table was' : `${lines} lines of the table were`
  return [`${left} left out (--skip-bad):`, ...listed].join('\n')
}

/** What is done with an input; says which one it cannot be done with. */
async function ofInput<Result>(input: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    throw inputError(input, error)
  }
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

/** Says in which file it is what its format does not allow. */
async function naming<Result>(input: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (input === '-' || !(error instanceof MalformedInputError) || 'file' in error.details) throw error
    const details = { ...error.details, file: input }
    throw new MalformedInputError(`${input}: ${error.message}`, details, { cause: error })
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

function nameOf(input: string): string {
  return input === '-' ? 'standard input' : input
}
function inputError(input: string, error: unknown): FileError {
  const isAddress = parseAddress(input) !== undefined
  const hint = isAddress ? `; addresses come from files: echo ${input} | percpu lookup` : ''
  return new FileError(
    `cannot read ${nameOf(input)}: ${error instanceof Error ? error.message : String(error)}${hint}`,
    { file: input },
    { cause: error },
  )
}
