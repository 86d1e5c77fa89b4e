/** Incarnations begin anew after 2^21 - 1: those that are over are told from the present one however many there were. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot } from 'percpu'
import { storeAtomic32 } from 'percpu/mem'
import { joinAs } from '../support/machines.js'
import { verify } from './support/verify.js'
import { insideOf } from '../support/inside.js'
import type { Memory } from 'percpu/mem'

const { HeapCpu, HeapRoot } = await import('../../dist/alloc/layouts.js')
const { HeapMap } = await import('../../dist/alloc/page-map.js')
const { isEnded } = await import('../../dist/alloc/tag.js')
const { MAX_INCARNATION, tokenOf } = await import('../../dist/machine/token.js')

const heapMapOf = (memory: Memory) => {
  const { objects, map } = insideOf(memory)
  return HeapMap.open(memory, objects, map)
}

describe('stays', () => {
  it('that came after the one that has ended have not', () => {
    // The nth thread that became the CPU.
    const tag = (nth: number): number => tokenOf(3, ((nth - 1) % MAX_INCARNATION) + 1)
    for (const ended of [1, 2, 1000, 2 ** 20, MAX_INCARNATION - 1, MAX_INCARNATION, MAX_INCARNATION + 1]) {
      const last = ((ended - 1) % MAX_INCARNATION) + 1
      for (const later of [1, 2, 1000]) assert.equal(isEnded(tag(ended + later), last), false)
      for (const earlier of [0, 1, 2, 1000])
        if (earlier < ended) assert.equal(isEnded(tag(ended - earlier), last), true)
    }
  })

  it('in half a round of which nobody used the heap do not end the present one', () => {
    const machine = boot({ memory: '2 MiB', cpus: 2 })
    const { memory } = machine
    const map = heapMapOf(memory)
    // As if that had been the last one to use it, 2^20 stays ago.
    storeAtomic32(memory.i32, map.heapCpu(1) + HeapCpu.words.ended, 2 ** 20)
    const other = joinAs(machine, 77)
    const taken = [other.heap.alloc(64), other.heap.alloc(5000), other.heap.pages.alloc(1)]
    // Something was left by somebody: everybody looks for what is to be freed.
    storeAtomic32(memory.i32, map.root + HeapRoot.words.deaths, 1)
    for (let i = 0; i < 100; i++) machine.heap.alloc(64)
    machine.heap.pages.alloc(2)
    const { faults, objects: found, blocks } = verify(machine)
    assert.deepEqual(faults, [])
    assert.ok(found.has(taken[0] ?? 0))
    for (const address of taken.slice(1)) assert.ok(blocks.has(address / 4096))
  })
})
