/** The request of a command line, as the processes that serve it get it. */
import type { ExploreOptions } from '../explore/options.js'

export interface Request {
  /** Absolute paths. */
  readonly files: readonly string[]
  /** The paths as they were given, for messages. */
  readonly names: readonly string[]
  /** Options that take the place of the ones in the files. */
  readonly override: Pick<
    ExploreOptions,
    'mode' | 'preemptions' | 'seed' | 'executions' | 'replay' | 'report' | 'weak'
  >
  /** Only explorations whose name contains this are to run. */
  readonly only: string | undefined
  /** Files and folders of foreign code. */
  readonly instrument: readonly string[]
}
