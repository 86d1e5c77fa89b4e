/** What a thread knows itself of a space, once it has changed that. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FaultError, type AddressSpace } from 'percpu'
import { fresh } from '../support/machines.js'

const options = { memory: '16 MiB', cpus: 2 } as const

/** A space of a thread that has nothing to do beside: no grace period is under way. */
async function settled(): Promise<AddressSpace> {
  const machine = fresh(options)
  const space = machine.space('s')
  space.map(0, 8192)
  space.write(0, 1)
  await machine.rcu.synchronize()
  return space
}

describe('a thread that changes a space by itself', () => {
  it('does not go on with a translation that it had found before', async () => {
    const machine = fresh(options)
    const array = machine.sparseArray('a', { value: 'u32' })
    array.set(5, 7)
    await machine.rcu.synchronize()
    assert.equal(array.get(5), 7)
    await array.clear()
    assert.equal(array.get(5), 0)
    array.set(6, 8)
    assert.deepEqual([array.get(5), array.get(6)], [0, 8])
  })

  it('finds nothing where only a hole was mapped', async () => {
    const space = await settled()
    assert.equal(space.read(4096), 0)
    await space.unmap(4096, 4096)
    assert.throws(() => space.read(4096), FaultError)
  })
})
