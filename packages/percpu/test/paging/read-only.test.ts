/** What is read-only stays so, whatever is done to the tables around it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FaultError } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const PAGE = 4096
const BLOCK = 1024 * PAGE

describe('a page that is read-only', () => {
  for (const isSplit of [true, false]) {
    const how = isSplit ? 'joined' : 'copied'
    it(`is read-only in a block that it is ${how} into, and writable again if that is allowed`, async () => {
      const machine = fresh({ memory: '32 MiB', cpus: 2 })
      const other = joinAs(machine, 101)
      const space = machine.space('it')
      space.map(0, BLOCK, { huge: isSplit })
      space.populate(0, BLOCK)
      space.write(8, 7)
      if (isSplit) space.split(0)
      await space.protect(0, BLOCK, { write: false })
      assert.equal(await space.collapse(0), true)
      assert.equal(space.maps()[0]?.inBlocks, BLOCK)
      for (const each of [space, other.space('it')]) {
        assert.throws(() => each.write(8, 8), FaultError)
        assert.equal(each.read(8), 7)
        assert.throws(() => each.write(8, 8), FaultError)
      }
      await space.protect(0, BLOCK, { write: true })
      space.write(8, 9)
      assert.equal(other.space('it').read(8), 9)
      space.verify()
      await other.offline()
    })
  }

  it('is not collapsed with others that are not', async () => {
    const machine = fresh({ memory: '32 MiB', cpus: 2 })
    const space = machine.space('it')
    space.map(0, BLOCK)
    space.populate(0, BLOCK)
    await space.protect(PAGE, PAGE, { write: false })
    assert.equal(await space.collapse(0), false)
    space.write(8, 1)
    assert.throws(() => space.write(PAGE, 1), FaultError)
    space.verify()
  })

  it('is so in a split block, and beside pages that are not', async () => {
    const machine = fresh({ memory: '32 MiB', cpus: 2 })
    const space = machine.space('it')
    space.map(0, BLOCK, { huge: true })
    space.write(8, 7)
    await space.protect(0, PAGE, { write: false })
    space.write(PAGE + 8, 1)
    assert.throws(() => space.write(8, 8), FaultError)
    space.split(0)
    space.write(2 * PAGE + 8, 1)
    assert.throws(() => space.write(8, 8), FaultError)
    assert.equal(space.read(8), 7)
    space.verify()
  })
})
