/** Snapshots: who finds them, and who can write to them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FaultError } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const options = { value: 'i32' } as const

describe('a snapshot with a name', () => {
  it('is a sparse array for others, also if it is one of a snapshot', async () => {
    const machine = fresh({ memory: '8 MiB', cpus: 2 })
    const other = joinAs(machine, 101)
    const array = machine.sparseArray('a', options)
    array.set(5, 50)
    const unnamed = await array.snapshot()
    array.set(5, 51)
    await unnamed.snapshot('of a snapshot')
    await array.snapshot('of the array')
    array.set(5, 52)
    for (const [name, value] of [
      ['of a snapshot', 50],
      ['of the array', 51],
    ] as const) {
      const found = other.sparseArray(name, options)
      assert.equal(found.get(5), value, name)
      assert.throws(() => found.set(5, 1), FaultError)
      await assert.rejects(found.clear(), FaultError)
      await machine.remove('sparseArray', name)
    }
    assert.deepEqual([machine.space('of a snapshot').maps(), machine.space('of the array').maps()], [[], []])
    await other.offline()
  })
})
