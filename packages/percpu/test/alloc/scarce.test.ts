/** What a CPU finds when there is hardly any memory left. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { verify } from './support/verify.js'

describe('when the zones have nothing left', () => {
  it('the pages that the CPU keeps for itself become blocks', () => {
    for (const take of ['pages', 'alloc'] as const) {
      const machine = boot({ memory: '2 MiB', nodes: 2 })
      const all: number[] = []
      for (;;) {
        const page = machine.heap.pages.tryAlloc(0)
        if (page === undefined) break
        all.push(page)
      }
      const pair = all.find((page) => page % 8192 === 0 && all.includes(page + 4096)) ?? 0
      machine.heap.pages.free(pair, 0)
      machine.heap.pages.free(pair + 4096, 0)
      const address = take === 'pages' ? machine.heap.pages.tryAlloc(1) : machine.heap.alloc(5000)
      assert.equal(address, pair)
      assert.equal(machine.heap.pages.tryAlloc(1), undefined)
      assert.equal(machine.heap.pages.tryAlloc(0, { node: 0 }), undefined)
      assert.deepEqual(verify(machine).faults, [])
    }
  })

  it('so do those wanted of a node', () => {
    const machine = boot({ memory: '2 MiB', nodes: 2 })
    const all: number[] = []
    for (;;) {
      const page = machine.heap.pages.tryAlloc(0)
      if (page === undefined) break
      all.push(page)
    }
    const low = Math.min(...all)
    machine.heap.pages.free(low, 0)
    assert.equal(machine.heap.pages.tryAlloc(0, { node: 0 }), low)
    assert.deepEqual(verify(machine).faults, [])
  })
})
