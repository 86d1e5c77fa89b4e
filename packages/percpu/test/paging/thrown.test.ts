/** Writes with an error thrown at any access, as where the stack is full: the thread lives on. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { fresh } from '../support/hooked-percpu.js'
import { control } from '../support/hooked-mem.js'

const PAGE = 4096

/** The store that releases a lock of a layer: it has nothing that could be missing. */
const isRelease = (name: string, [, , value]: readonly unknown[]): boolean =>
  name === 'storeAtomic32' && value === 0

it('a write that throws in the middle leaves tables right, and can be made again', () => {
  let points = 0
  for (let isOver = false; !isOver; points++) {
    const space = fresh({ memory: '1 MiB', cpus: 1 }).space('space')
    space.map(0, 2 * PAGE)
    space.write(PAGE, 1)
    let count = 0
    control.before = (name, args) => {
      if (count++ < points || isRelease(name, args)) return
      control.before = undefined
      throw new RangeError('at an access')
    }
    try {
      space.write(0, 7)
      isOver = true
    } catch (error) {
      assert.match((error as Error).message, /at an access/)
    } finally {
      control.before = undefined
    }
    space.verify()
    assert.ok([0, 7].includes(space.read(0)), `access ${points}`)
    space.write(0, 8)
    assert.deepEqual([space.read(0), space.read(PAGE)], [8, 1], `access ${points}`)
    space.verify()
  }
  assert.ok(points > 50, `only ${points} accesses`)
})
