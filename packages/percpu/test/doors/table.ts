/** The table of all operations of the package. table.test.ts sees to it that none is missing. */
import type { Row } from './row.js'
import { collectionRows } from './rows/collections.js'
import { layoutRows } from './rows/layout.js'
import { machineRows } from './rows/machine.js'
import { memoryRows } from './rows/memory.js'
import { pagingRows } from './rows/paging.js'
import { percpuRows } from './rows/percpu.js'
import { rangeRows } from './rows/ranges.js'
import { rcuRows } from './rows/rcu.js'
import { syncRows } from './rows/sync.js'
import { watchRows } from './rows/watch.js'

export const table: readonly Row[] = [
  ...layoutRows,
  ...machineRows,
  ...syncRows,
  ...memoryRows,
  ...percpuRows,
  ...rcuRows,
  ...collectionRows,
  ...rangeRows,
  ...pagingRows,
  ...watchRows,
]
