/**
 * Loads a table while lookups go on: a short-lived thread joins the machine, reads the files, and
 * makes what they say the table.
 */
import { stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import { AbortedError, FileError, LoadError, TableRefusedError } from '../errors.js'
import { unlessAborted } from '../unless-aborted.js'
import type { FromLoader, LoadedRows, LoaderSetup } from './loader-protocol.js'
import type { TableFiles, TableRows } from './read.js'
import type { ShrinkLimit } from './row-counts.js'

export interface LoadedTable extends LoadedRows {
  /** From the start of the loader to publication. */
  readonly milliseconds: number
}

export interface LoadProgress {
  readonly bytes: number
  readonly total: number
}

export interface LoadOptions {
  /** What the table must not fall behind. Default: any number of ranges will do, but 0. */
  readonly limit?: ShrinkLimit | undefined
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
  /** What the files hold, if that has been read already: then they are not read. */
  readonly rows?: TableRows | undefined
  /** Ends the loader, wherever it is, unless its table is published already. */
  readonly signal?: AbortSignal | undefined
}

/** Where the published tables come from, and what their licence asks to be said. */
export const dataPackage = '@ip-location-db/asn'

/**
 * The files of the installed data package.
 *
 * @throws FileError if it is not installed.
 */
export function packagedFiles(): TableFiles {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve(`${dataPackage}/package.json`))
    return { ipv4: join(folder, 'asn-ipv4.csv'), ipv6: join(folder, 'asn-ipv6.csv') }
  } catch (error) {
    throw new FileError(
      `the package ${dataPackage} is not installed: run \`npm install ${dataPackage}\`, or name files with --ipv4 and --ipv6`,
      { package: dataPackage },
      { cause: error },
    )
  }
}

/**
 * Makes what `files` say the table of this name, and resolves when nobody reads any more what was
 * there before. One load at a time.
 *
 * @throws TableRefusedError, FileError, LoadError; AbortedError at the signal. The table before
 *   stays. After a LoadError for lack of memory IPv4 may be that of the files already.
 */
export async function loadTable(
  machine: Machine,
  name: string,
  files: TableFiles,
  { limit, onProgress = () => undefined, rows, signal }: LoadOptions = {},
): Promise<LoadedTable> {
  const began = performance.now()
  const total = await unlessAborted(bytesOf(files), signal)
  const workerData: LoaderSetup = { handle: machine.handle, name, files, rows, limit }
  const worker = new Worker(new URL('./loader-worker.js', import.meta.url), { workerData })
  const { reaped } = machine.supervise(worker)
  try {
    const publishing = publishedBy(worker, (bytes) => onProgress({ bytes, total }))
    const table = await unlessAborted(publishing, signal)
    return { ...table, milliseconds: performance.now() - began }
  } catch (error) {
    if (error instanceof AbortedError) void worker.terminate()
    throw error
  } finally {
    await reaped
  }
}

/** The loader's result. */
function publishedBy(worker: Worker, onBytes: (bytes: number) => void): Promise<LoadedRows> {
  return new Promise((resolve, reject) => {
    let bytes = 0
    worker.on('message', (message: FromLoader) => {
      if (message.type === 'progress') onBytes((bytes += message.bytes))
      else if (message.type === 'published') resolve(message.table)
      else if (message.type === 'refused')
        reject(new TableRefusedError(message.problems, message.total, message.rows))
      else if (message.code === 'PERCPU_FILE') reject(new FileError(message.message))
      else reject(new LoadError(`the table could not be loaded: ${message.message}`, { code: message.code }))
    })
    worker.on('error', (error) =>
      reject(new LoadError(`the loader failed: ${error.message}`, {}, { cause: error })),
    )
    worker.once('exit', () => reject(new LoadError('the loader ended before it had loaded the table')))
  })
}

/** Bytes of both files. @throws FileError if there is none. */
export async function bytesOf({ ipv4, ipv6 }: TableFiles): Promise<number> {
  const [size4, size6] = await Promise.all([sizeOf(ipv4), sizeOf(ipv6)])
  return size4 + size6
}

async function sizeOf(file: string): Promise<number> {
  try {
    const { size } = await stat(file)
    return size
  } catch (error) {
    throw new FileError(
      `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { file },
      { cause: error },
    )
  }
}
