import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { boot, type Machine } from 'percpu'
import { AddressTable, LookupPool, openTable, TABLE_NAME } from 'percpu-console'

export interface Bench {
  readonly machine: Machine
  /** Of the table. */
  readonly name: string
  readonly table: AddressTable
}

/** A machine with an empty table, offline after the test. */
export function testMachine(t: Pick<TestContext, 'after'>, memory = '256 MiB'): Bench {
  const machine = boot({ memory, cpus: 16 })
  t.after(() => machine.offline())
  return { machine, name: TABLE_NAME, table: new AddressTable(machine, TABLE_NAME) }
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

/** Checks every word of the table's maps, and that each pair is one that a range needs. */
export function verifyTable(machine: Machine): void {
  const { ipv4, ipv6, pairs } = openTable(machine, TABLE_NAME)
  ipv4.verify()
  ipv6.verify()
  pairs.verify({ quiet: true })
  const needed = new Set([...ipv4.values(), ...ipv6.values()].map((value) => value >>> 1))
  assert.deepEqual([...pairs.keys()].toSorted(), [...needed].toSorted())
}
