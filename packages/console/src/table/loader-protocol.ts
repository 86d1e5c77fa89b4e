import type { MachineHandle } from 'percpu'
import type { Problem } from '../errors.js'
import type { SkippedLines } from './problems.js'
import type { TableFiles, TableRows } from './read.js'
import type { RowCounts, ShrinkLimit } from './row-counts.js'

export interface LoaderSetup {
  readonly handle: MachineHandle
  /** Of the table. */
  readonly name: string
  readonly files: TableFiles
  /** What they hold, if that has been read already. */
  readonly rows: TableRows | undefined
  /** None: any number of ranges will do, but 0. */
  readonly limit: ShrinkLimit | undefined
}

/** What a loader tells of the table that it has published. */
export interface LoadedRows {
  /** 1 for the first table, then one more each time. */
  readonly generation: number
  readonly rows4: number
  readonly rows6: number
  /** Overlaps of the published data that are known and tolerated. */
  readonly knownOverlaps: number
  readonly skipped: SkippedLines
  /** Places in which the ranges differ from those before. */
  readonly changed: number
}

/** What the loader tells. After all but `progress` it leaves. */
export type FromLoader =
  | { readonly type: 'progress'; readonly bytes: number }
  | { readonly type: 'published'; readonly table: LoadedRows }
  | {
      readonly type: 'refused'
      readonly problems: readonly Problem[]
      readonly total: number
      readonly rows: RowCounts | undefined
    }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }
