/** A CPU number that is used again, while somebody asks the system for the thread that had it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { check, prepare } from '../../support/world.js'

const { CpuTable } = await import('../../../dist/cpus/cpu-table.js')

/** Keys and numbers in the system of two threads, one after the other. */
const FIRST = { key: 11, id: 1011 }
const SECOND = { key: 22, id: 1022 }

describe('the number that a thread has in the system', () => {
  it('is not that of another thread which has the same CPU number', async (test) => {
    const world = await prepare({ cpus: 2 })
    const { memory, table } = world
    await check(world, test, (t) => {
      t.cpu(0, () => {
        const own = new CpuTable(memory, table.map)
        for (const { key, id } of [FIRST, SECOND]) own.setOsThread(1, key, id)
      })
      t.cpu(1, () => {
        const other = new CpuTable(memory, table.map)
        return [FIRST, SECOND].map(({ key }) => other.osThread(1, key))
      })
      t.finally(([, found]) => {
        const [first, second] = found as [number, number]
        assert.ok(first === 0 || first === FIRST.id)
        assert.ok(second === 0 || second === SECOND.id)
        assert.equal(table.osThread(1, SECOND.key), SECOND.id)
      })
    })
  })
})
