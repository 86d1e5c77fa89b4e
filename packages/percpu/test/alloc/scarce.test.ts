/** What a CPU finds when there is hardly any memory left. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, OutOfMemoryError } from 'percpu'
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

  for (const mmu of [true, false])
    it(`the heap has what per-CPU memory does not use, before a trim has run (${mmu ? 'vm' : 'km'})`, () => {
      const machine = boot({ memory: '4 MiB', cpus: 4, mmu, percpu: { unit: '32 KiB' } })
      const pointers: number[] = []
      for (;;) {
        try {
          pointers.push(machine.percpu.alloc(4096))
        } catch {
          break
        }
      }
      const taken: number[] = []
      const fill = (bytes: number): number => {
        const before = taken.length
        for (;;) {
          try {
            taken.push(machine.heap.alloc(bytes))
          } catch (error) {
            assert.ok(error instanceof OutOfMemoryError)
            return taken.length - before
          }
        }
      }
      fill(4096)
      const chunks = machine.percpu.report().chunks.length
      for (const pointer of pointers) machine.percpu.free(pointer)
      const more = fill(4096)
      assert.ok(more > 100, `only ${more} of ${chunks} chunks`)
      machine.percpu.verify()
      for (const address of taken) machine.heap.free(address)
      assert.deepEqual(verify(machine).faults, [])
    })
})
