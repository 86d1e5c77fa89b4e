/** What is called on a space that was removed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RemovedError } from 'percpu'
import { fresh } from '../support/machines.js'

describe('a space that was removed', () => {
  it('refuses ranges of no bytes as it does others', async () => {
    const space = fresh({ memory: '1 MiB' }).space('s')
    await space.drop()
    assert.throws(() => space.map(0, 4096), RemovedError)
    for (const bytes of [0, 4096]) {
      assert.throws(() => space.populate(0, bytes), RemovedError)
      assert.throws(() => space.copyOut(0, bytes), RemovedError)
      await assert.rejects(space.unmap(0, bytes), RemovedError)
      await assert.rejects(space.protect(0, bytes), RemovedError)
    }
  })
  it('keeps its name from forks until it is gone', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const space = machine.space('s')
    machine.space('t')
    const removal = machine.remove('space', 't')
    await assert.rejects(space.fork('t'), { code: 'PERCPU_REMOVED', details: { kind: 'space', name: 't' } })
    await removal
    assert.equal((await space.fork('t')).name, 't')
  })
})
