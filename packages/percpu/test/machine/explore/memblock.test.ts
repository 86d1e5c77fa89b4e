/** The boot allocator, changed by several CPUs at once, and by ones that are killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore } from 'percpu-lab'
import { prepare } from './support.js'

describe('two CPUs that change the list of regions', () => {
  it('both have their change, whatever the order', async () => {
    const world = await prepare()
    const before = world.used
    const report = await explore('allocate and allocate', (t) => {
      world.name(t)
      t.cpu(0, (cpu) => world.joined(cpu).memblock.alloc({ size: 256 }))
      t.cpu(1, (cpu) => world.joined(cpu).memblock.alloc({ size: 512 }))
      t.finally(([first, second]) => {
        assert.notEqual(first, second)
        assert.equal(world.used, before + 768)
      })
    })
    console.log(report)
  })
})
