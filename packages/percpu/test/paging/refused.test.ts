/** What spaces and arrays refuse beyond the table of doors, and with which words. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { rejectsCode, throwsCode } from '../support/codes.js'
import { fresh } from '../support/machines.js'

const PAGE = 4096

describe('an address space', () => {
  it('maps a page or more', () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    throwsCode(() => space.map(0, 0), 'PERCPU_ARGUMENT', /^bytes: 0 is not a page or more/)
    assert.deepEqual(space.maps(), [])
  })

  it('is forked with options behind the name', async () => {
    const space = fresh({ memory: '16 MiB' }).space('space')
    await rejectsCode(
      space.fork({ timeout: 5 } as never),
      'PERCPU_ARGUMENT',
      /^name: .* is not a string: options come after it/,
    )
  })
})

describe('a sparse array', () => {
  it('goes through nothing more once it is removed', async () => {
    const machine = fresh({ memory: '16 MiB' })
    const array = machine.sparseArray('array', { value: 'u8' })
    for (const index of [0, 2 * PAGE, 4 * PAGE]) array.set(index, 1)
    const populated = array.populated()
    assert.deepEqual(populated.next().value, { from: 0, to: PAGE })
    await array.drop()
    throwsCode(() => populated.next(), 'PERCPU_REMOVED')
  })
})
