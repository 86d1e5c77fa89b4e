/**
 * What allocations cost at their limits, counted in steps: within the bounds of docs/limits.md,
 * and in proportion to what they are about.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fresh, joinAs } from '../support/hooked-percpu.js'
import { countSteps, eachOf, fillNodes } from '../support/steps.js'

describe('a block of pages', () => {
  it('from another node, once that of the CPU is full, takes no search of boot memory each time', () => {
    const machine = fresh({ memory: '32 MiB', cpus: 64, nodes: 2 })
    fillNodes(machine, [0])
    const first = machine.heap.pages.alloc(3)
    assert.ok(first >= machine.memory.byteLength / 2)
    for (let i = 0; i < 10; i++) {
      const { all } = countSteps(() => machine.heap.pages.alloc(3))
      assert.ok(all <= 150, `${all} steps`)
    }
  })

  it('is found again after a region of boot memory was freed on the full node', () => {
    const machine = fresh({ memory: '4 MiB', nodes: 2 })
    const region = machine.heap.memblock.alloc({ size: 65536, align: 65536, node: 0 })
    fillNodes(machine, [0])
    assert.ok(machine.heap.pages.alloc(4, { node: 0 }) >= machine.memory.byteLength / 2)
    machine.heap.memblock.free(region)
    assert.equal(machine.heap.pages.tryAlloc(4, { node: 0 }), region)
  })
})

describe('the heap', () => {
  it('is verified in proportion to what it holds', () => {
    const cost = (objects: number): number => {
      const machine = fresh({ memory: '16 MiB' })
      for (let i = 0; i < objects; i++) machine.heap.alloc(64)
      return countSteps(() => machine.heap.verify({ quiet: true })).all
    }
    const [few, many] = eachOf([5000, 50_000], cost)
    assert.ok(many <= few * 1.2, `${few} and ${many} steps`)
  })

  it('gives and takes an object in so many steps, whatever else it holds', () => {
    const machine = fresh({ memory: '32 MiB' })
    const cost = (): number => {
      let most = 0
      for (let i = 0; i < 500; i++)
        most = Math.max(most, countSteps(() => machine.heap.free(machine.heap.alloc(64))).locked)
      return most
    }
    const empty = cost()
    for (let i = 0; i < 100_000; i++) machine.heap.alloc(64)
    const full = cost()
    assert.ok(full <= 1.5 * Math.max(empty, 200), `${empty} and ${full} steps`)
  })
})

describe('what a dead thread had', () => {
  it('is given back in steps in proportion to the blocks of its zones', () => {
    const cost = (blocks: number): number => {
      const machine = fresh({ memory: '64 MiB', cpus: 2 })
      const other = joinAs(machine, 101)
      for (let i = 0; i < blocks; i++) other.heap.pages.alloc(1)
      return countSteps(() => machine.cpus.declareDead(1)).all
    }
    const [few, many] = eachOf([500, 5000], cost)
    assert.ok(many <= 1.5 * few + 1, `${few} and ${many} steps`)
  })
})
