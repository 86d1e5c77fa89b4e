/** Large blocks: freed whole or not at all, and listed as long as they are allocated. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, fresh, joinAs, killAt } from '../support/hooked-percpu.js'
import { bytes } from './support/bytes.js'
import { verify } from './support/verify.js'
import { insideOf } from '../support/inside.js'
import type { Memory } from 'percpu/mem'

const { HeapMap } = await import('../../dist/alloc/heap-map.js')
const { USED } = await import('../../dist/alloc/page-map.js')
const { ZoneLayout } = await import('../../dist/alloc/layouts.js')
const { LayerLock } = await import('../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { tokenOf } = await import('../../dist/machine/token.js')

const heapMapOf = (memory: Memory) => {
  const { objects, map } = insideOf(memory)
  return HeapMap.open(memory, objects, map)
}

/** First pages of the large blocks, by the page map; whether `leaks` says so, too. */
function blocksOf(machine: Machine): number[] {
  const { faults, blocks, cacheBlocks } = verify(machine)
  assert.deepEqual(faults, [])
  const found = [...blocks].filter(([page, { kind }]) => kind === USED && !cacheBlocks.has(page))
  return found.map(([page]) => page * 4096).sort((a, b) => a - b)
}
function listed(machine: Machine): number[] {
  return machine.heap
    .allocations()
    .map(({ address }) => address)
    .sort((a, b) => a - b)
}
/** Lets CPU 0 have the zone locked, as if it were at work there, while `run` runs. */
function withZoneLocked(machine: Machine, run: () => void): void {
  const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
  const holder = new LayerLock(machine.memory, map.layerRecord(0, 3), tokenOf(0, 1))
  const heap = heapMapOf(machine.memory)
  holder.lock(heap.zone(0) + ZoneLayout.words.lock)
  try {
    run()
  } finally {
    holder.unlock()
  }
}
const isTimeout = { code: 'PERCPU_LOCK_TIMEOUT' }

for (const [what, bytes] of Object.entries({ 'of one page': 4000, 'of several pages': 9000 })) {
  describe(`a large block ${what}`, () => {
    it('that is kept is still listed if its thread is killed before any access of freeing it, or free', () => {
      let freed = 0
      const points = forEachAccess((at) => {
        const machine = fresh()
        const address = machine.heap.alloc(bytes, { persist: true })
        const cpu = joinAs(machine, 101)
        // So that the stack is full: then one more goes to the zone.
        const pages = Array.from({ length: 8 }, () => cpu.heap.pages.alloc(0))
        for (const page of pages) cpu.heap.pages.free(page, 0)
        const killed = killAt(() => cpu.heap.free(address), at, cpu)
        machine.cpus.declareDead(1)
        assert.deepEqual(listed(machine), blocksOf(machine), `access ${at}`)
        if (listed(machine).length === 0) freed++
        else machine.heap.free(address)
        assert.deepEqual(blocksOf(machine), [], `access ${at}`)
        return killed
      })
      assert.ok(points > 10 && freed > 0)
    })

    it('is as before when a lock that is needed is never released', () => {
      const machine = fresh()
      const cpu = joinAs(machine, 101)
      const all = Array.from({ length: 12 }, () => cpu.heap.alloc(bytes))
      withZoneLocked(machine, () => {
        assert.throws(() => {
          for (let next = all[0]; next !== undefined; next = all[0]) {
            cpu.heap.free(next)
            all.shift()
          }
        }, isTimeout)
      })
      assert.deepEqual(
        listed(machine),
        [...all].sort((a, b) => a - b),
      )
      for (const address of all) cpu.heap.free(address)
      assert.deepEqual(blocksOf(machine), [])
    })
  })
}

describe('a slab without objects', () => {
  it('stays one when the lock of the pages is never released, and goes back later', () => {
    const machine = fresh()
    const cpu = joinAs(machine, 101)
    const cache = cpu.heap.cache('c', bytes(512))
    const all = Array.from({ length: 60 }, () => cache.alloc())
    withZoneLocked(machine, () => {
      assert.throws(() => {
        for (let next = all[0]; next !== undefined; next = all[0]) {
          cache.free(next)
          all.shift()
        }
      }, isTimeout)
    })
    assert.ok(all.length > 0)
    const { faults, objects } = verify(machine)
    assert.deepEqual(faults, [])
    assert.equal(objects.size, all.length)
    for (const address of all) cache.free(address)
    cache.trim()
    assert.deepEqual(blocksOf(machine), [])
    assert.equal(machine.heap.report().caches[0]?.bytes, 0)
  })
})
