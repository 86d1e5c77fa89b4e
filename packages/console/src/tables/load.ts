/** Loads a table from its file, in a thread of its own, while it is read. */
import { Worker } from 'node:worker_threads'
import type { Machine, MachineHandle } from 'percpu'
import { AbortedError, FileError, LoadError, TableRefusedError, type Problem } from '../errors.js'
import type { SkippedLines } from '../table/problems.js'
import { unlessAborted } from '../unless-aborted.js'
import type { KeyKind } from './keys.js'
import type { TableSource } from './source.js'

export interface TableLoaderSetup {
  readonly handle: MachineHandle
  readonly source: TableSource
  /** What the keys are, if the table is there already. */
  readonly keys: KeyKind | undefined
  /** Of the rows that are new or say something else. */
  readonly version: number
  /** Percent of the rows that may be missing. */
  readonly maxShrink: number
}
export interface LoadedRows {
  readonly keys: KeyKind
  readonly rows: number
  /** Places in which the table differs from that before. */
  readonly changed: number
  readonly skipped: SkippedLines
}
export type FromTableLoader =
  | { readonly type: 'progress'; readonly bytes: number }
  | ({ readonly type: 'loaded' } & LoadedRows)
  | { readonly type: 'refused'; readonly problems: readonly Problem[]; readonly total: number }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }

/**
 * Makes what the file says the table, as one version.
 *
 * @throws TableRefusedError, FileError, LoadError; AbortedError at the signal. The table before
 *   stays.
 */
export async function loadRows(
  machine: Machine,
  setup: Omit<TableLoaderSetup, 'handle'>,
  signal: AbortSignal,
): Promise<LoadedRows> {
  const workerData: TableLoaderSetup = { handle: machine.handle, ...setup }
  const worker = new Worker(new URL('./load-worker.js', import.meta.url), { workerData })
  const { reaped } = machine.supervise(worker)
  try {
    return await unlessAborted(loadedBy(worker, setup.source), signal)
  } catch (error) {
    if (error instanceof AbortedError) void worker.terminate()
    throw error
  } finally {
    await reaped
  }
}

function loadedBy(worker: Worker, { name }: TableSource): Promise<LoadedRows> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: FromTableLoader) => {
      if (message.type === 'loaded') resolve(message)
      else if (message.type === 'refused') reject(new TableRefusedError(message.problems, message.total))
      else if (message.type === 'failed' && message.code === 'PERCPU_FILE')
        reject(new FileError(message.message))
      else if (message.type === 'failed')
        reject(new LoadError(`table ${name} could not be loaded: ${message.message}`, { code: message.code }))
    })
    worker.on('error', (error) =>
      reject(new LoadError(`the loader of table ${name} failed: ${error.message}`, {}, { cause: error })),
    )
    worker.once('exit', () =>
      reject(new LoadError(`the loader of table ${name} ended before it had loaded it`)),
    )
  })
}
