/** What the command line asked for, as the processes that do it get it. */
import type { ExploreOptions } from '../explore/options.js'

export interface Request {
  /** Absolute paths. */
  readonly files: readonly string[]
  /** As they were given, for messages. */
  readonly names: readonly string[]
  /** Options that take the place of those in the files. */
  readonly override: Pick<
    ExploreOptions,
    'mode' | 'preemptions' | 'seed' | 'executions' | 'replay' | 'report' | 'weak'
  >
  /** Explorations whose name contains it. */
  readonly only: string | undefined
  /** Files and folders of foreign code. */
  readonly instrument: readonly string[]
}
