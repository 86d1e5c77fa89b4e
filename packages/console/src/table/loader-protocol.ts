import type { MachineHandle } from 'percpu'
import type { Problem } from '../errors.js'
import type { BuiltTable, TableFiles } from './build.js'
import type { RowCounts, ShrinkLimit } from './row-counts.js'

export interface LoaderSetup {
  readonly handle: MachineHandle
  readonly files: TableFiles
  readonly generation: number
  /** None: any number of ranges will do, but 0. */
  readonly limit: ShrinkLimit | undefined
}

/** What the loader tells; after all but `progress` it waits to be told to stop. */
export type FromLoader =
  | { readonly type: 'progress'; readonly bytes: number }
  | { readonly type: 'built'; readonly table: BuiltTable }
  | {
      readonly type: 'refused'
      readonly problems: readonly Problem[]
      readonly total: number
      readonly rows: RowCounts
    }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }
