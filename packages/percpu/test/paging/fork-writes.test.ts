/** Writes to a space and its fork, in both orders. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AddressSpace, Machine } from 'percpu'
import { fresh } from '../support/machines.js'

const PAGE = 4096

interface Forked {
  readonly machine: Machine
  readonly parent: AddressSpace
  readonly child: AddressSpace
}
async function forked(): Promise<Forked> {
  const machine = fresh({ memory: '4 MiB' })
  const parent = machine.space('s')
  parent.map(0, 2 * PAGE)
  parent.write(0, 1)
  parent.write(PAGE, 2)
  return { machine, parent, child: await parent.fork() }
}
const values = (space: AddressSpace): number[] => [space.read(0), space.read(PAGE)]

describe('a space and its fork', () => {
  it('go apart when the space is written to first', async () => {
    const { parent, child } = await forked()
    parent.write(0, 10)
    assert.deepEqual(
      [values(parent), values(child)],
      [
        [10, 2],
        [1, 2],
      ],
    )
    child.write(PAGE, 20)
    assert.deepEqual(
      [values(parent), values(child)],
      [
        [10, 2],
        [1, 20],
      ],
    )
    parent.verify()
  })
  it('go apart when the fork is written to first', async () => {
    const { parent, child } = await forked()
    child.write(0, 10)
    parent.write(PAGE, 20)
    assert.deepEqual(
      [values(parent), values(child)],
      [
        [1, 20],
        [10, 2],
      ],
    )
    parent.write(0, 30)
    assert.deepEqual(
      [values(parent), values(child)],
      [
        [30, 20],
        [10, 2],
      ],
    )
    parent.verify()
  })
  it('go apart when a deaf thread writes, whose walks are counted', async () => {
    const { machine, parent, child } = await forked()
    machine.cpus.deaf(() => {
      parent.write(0, 10)
      child.write(PAGE, 20)
    })
    assert.deepEqual(
      [values(parent), values(child)],
      [
        [10, 2],
        [1, 20],
      ],
    )
    parent.verify()
  })
  it('are whole when one of both is gone', async () => {
    const { parent, child } = await forked()
    child.write(0, 10)
    await child.drop()
    parent.write(PAGE, 20)
    assert.deepEqual(values(parent), [1, 20])
    parent.verify()
  })
})
