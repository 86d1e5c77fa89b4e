import { PercpuError } from 'percpu/errors'
import type { RowCounts } from './table/row-counts.js'

/** The command line asks for something that does not exist or contradicts itself. Exit code 2. */
export class UsageError extends PercpuError {
  readonly code = 'PERCPU_USAGE'
}

/** A file or stream cannot be opened, read or written. `details.file` names it. */
export class FileError extends PercpuError {
  readonly code = 'PERCPU_FILE'
}

/** A service could not be asked, refused, or broke off. `details.status` is that of HTTP. */
export class ServiceError extends PercpuError {
  readonly code = 'PERCPU_SERVICE'
}

/** One thing that is wrong with a table's file. */
export interface Problem {
  /** Path of the file, as given. */
  readonly file: string
  /**
   * Line number, from 1; a record over several lines is named by its last one. 0: the file as a
   * whole.
   */
  readonly line: number
  /** What is wrong, in words. */
  readonly text: string
}

/**
 * The files do not make a table, or not one that may replace the one before: `problems` names the
 * first reasons, `details.total` counts all. Nothing was published.
 */
export class TableRefusedError extends PercpuError {
  readonly code = 'PERCPU_TABLE_REFUSED'
  readonly problems: readonly Problem[]
  /** Ranges of addresses that could be read, if that is what the files are for. */
  readonly rows: RowCounts | undefined

  constructor(problems: readonly Problem[], total: number, rows?: RowCounts) {
    const lines = problems.map(({ file, line, text }) => `  ${file}${line > 0 ? `:${line}` : ''}: ${text}`)
    const more = total > problems.length ? [`  and ${total - problems.length} more`] : []
    const count = total === 1 ? 'one problem' : `${total} problems`
    super([`table refused, ${count} in its files:`, ...lines, ...more].join('\n'), { total, problems, rows })
    this.problems = problems
    this.rows = rows
  }
}

/**
 * A table could not be built for another reason than its files: no memory, or its loader died.
 * Nothing was published.
 */
export class LoadError extends PercpuError {
  readonly code = 'PERCPU_LOAD'
}

/**
 * The workers that tried a batch all died while they had it, or no worker can be started any more.
 */
export class WorkerLostError extends PercpuError {
  readonly code = 'PERCPU_WORKER_LOST'
}

/** The input of a batch is not what its type says; `details.item` counts from 1. */
export class MalformedInputError extends PercpuError {
  readonly code = 'PERCPU_MALFORMED_INPUT'
}

/** The input of a batch is longer than allowed. */
export class InputTooLargeError extends PercpuError {
  readonly code = 'PERCPU_INPUT_TOO_LARGE'
}

/** The batch was given up before its end: the client went away, or the process is shutting down. */
export class AbortedError extends PercpuError {
  readonly code = 'PERCPU_ABORTED'
}

/**
 * What a store keeps on the disk does not check: see `details.file`, `offset` and `what`. Nothing
 * was served, and nothing on the disk was changed.
 */
export class StoreDamagedError extends PercpuError {
  readonly code = 'PERCPU_STORE_DAMAGED'
}

/**
 * The disk, or its quota, is full. The records are not there, and the log is as before; once there
 * is room, the store takes more.
 */
export class StoreFullError extends PercpuError {
  readonly code = 'PERCPU_STORE_FULL'
}

/**
 * The store takes nothing any more: it was closed, or the disk failed, so that it is not known what
 * is on it. What was acknowledged before can still be read by another start.
 */
export class StoreFailedError extends PercpuError {
  readonly code = 'PERCPU_STORE_FAILED'
}

/** Another living process has the store's directory, `details.directory`. */
export class StoreBusyError extends PercpuError {
  readonly code = 'PERCPU_STORE_BUSY'
}

/** The bucket of `--nats` cannot be used: no server, no JetStream, no permission, another table. */
export class BucketError extends PercpuError {
  readonly code = 'PERCPU_BUCKET'
}
