// The options of torture:removed, and one protection whose absence shows at once.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { repositoryRoot } from '../lib/cli.mjs'
import { protections, readOptions, tortureRemoved } from '../torture-removed.mjs'

describe('torture:removed', () => {
  it('removes all protections by default', () => {
    assert.deepEqual(readOptions([]), { seconds: 30, names: Object.keys(protections) })
    assert.deepEqual(readOptions(['--seconds', '5', 'paging/pin-unchecked']), {
      seconds: 5,
      names: ['paging/pin-unchecked'],
    })
    assert.throws(() => readOptions(['--seconds', '0']), /--seconds 0/)
    assert.throws(() => readOptions(['pins']), /no protection pins: pagetable\/round-unwaited/)
  })

  it('catches rounds that wait for nobody', async () => {
    const options = { seconds: 60, names: ['pagetable/round-unwaited'] }
    const [row] = await tortureRemoved(repositoryRoot, options)
    assert.ok(row.isCaught, JSON.stringify(row))
  })
})
