import type { TestContext } from 'node:test'
import { boot, type Machine } from 'percpu'
import { createRoot, FlatTable, LookupPool, TABLE_NAME } from 'percpu-console'

export interface Bench {
  readonly machine: Machine
  readonly root: number
  readonly table: FlatTable
}

/** A machine with an empty table root, offline after the test. */
export function testMachine(t: Pick<TestContext, 'after'>, memory = '256 MiB'): Bench {
  const machine = boot({ memory, cpus: 16 })
  t.after(() => machine.offline())
  const root = createRoot(machine, TABLE_NAME)
  return { machine, root, table: new FlatTable(machine.memory, root) }
}

/**
 * A pool that is ready, closed after the test. Call it after {@link testMachine}: hooks run in the
 * order of their adding.
 */
export async function testPool(
  t: Pick<TestContext, 'after'>,
  machine: Machine,
  workers: number,
): Promise<LookupPool> {
  const pool = new LookupPool(machine, { workers, table: TABLE_NAME })
  await pool.ready()
  t.after(() => pool.close())
  return pool
}
