/**
 * Orphans: what an incarnation had in flight that could not be freed at its end, for locks that
 * others held. Whoever takes the lock next frees it, wherever incarnations and counts wrap around.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, type Machine } from 'percpu'
import { loadAtomic32, storeAtomic32 } from 'percpu/mem'
import { joinAs } from '../support/machines.js'
import { bytes } from './support/bytes.js'
import { hold } from './support/hold.js'
import { readHeap, verify } from './support/verify.js'

const { HeapCpu, HeapRoot } = await import('../../dist/alloc/layouts.js')
const { isEnded } = await import('../../dist/alloc/tag.js')
const { MAX_INCARNATION, nextIncarnation, previousIncarnation, tokenOf } =
  await import('../../dist/machine/token.js')

function deathsWord(machine: Machine): number {
  return readHeap(machine).owner.map.root + HeapRoot.words.deaths
}

describe('the owners of tags', () => {
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

  it('of which nobody used the heap in half a round do not end the present one', () => {
    const machine = boot({ memory: '2 MiB', cpus: 2 })
    const { memory } = machine
    const { map } = readHeap(machine).owner
    // As if that had been the last one to use it, 2^20 incarnations ago.
    storeAtomic32(memory.i32, map.heapCpu(1) + HeapCpu.words.ended, 2 ** 20)
    const other = joinAs(machine, 77)
    const taken = [other.heap.alloc(64), other.heap.alloc(5000), other.heap.pages.alloc(1)]
    // Somebody left something: everybody looks for orphans.
    storeAtomic32(memory.i32, deathsWord(machine), 1)
    for (let i = 0; i < 100; i++) machine.heap.alloc(64)
    machine.heap.pages.alloc(2)
    const { faults, objects: found, blocks } = verify(machine)
    assert.deepEqual(faults, [])
    assert.ok(found.has(taken[0] ?? 0))
    for (const address of taken.slice(1)) assert.ok(blocks.has(address / 4096))
  })
})

describe('orphans', () => {
  const Blob = bytes(512)
  /** The next thread is CPU 1, has memory in flight, and dies while CPU 0 has the locks. */
  function leave(machine: Machine): void {
    const victim = joinAs(machine, 77)
    for (let i = 0; i < 9; i++) victim.heap.cache('c', Blob).alloc()
    victim.heap.alloc(5000)
    victim.heap.pages.alloc(0)
    const unlock = [hold(machine, { cache: 'c' }), hold(machine, 'zone')]
    assert.equal(machine.cpus.declareDead(1), true)
    for (const each of unlock) each()
    assert.ok(verify(machine).faults.some((fault) => fault.startsWith('D3')))
  }

  it('are freed by the next one that takes the lock, when the count of ends wraps around', () => {
    const machine = boot({ memory: '2 MiB', cpus: 3 })
    const { i32 } = machine.memory
    const cache = machine.heap.cache('c', Blob)
    for (const [before, after] of [
      [0, 1],
      [0x7fffffff, -0x80000000],
      [-2, -1],
      [-1, 0],
      [0, 1],
    ] as const) {
      storeAtomic32(i32, deathsWord(machine), before)
      // Every lock has seen this count.
      machine.heap.trim()
      machine.heap.verify()
      leave(machine)
      assert.equal(loadAtomic32(i32, deathsWord(machine)), after)
      cache.trim()
      machine.heap.pages.free(machine.heap.pages.alloc(1), 1)
      const { faults, objects } = verify(machine)
      assert.deepEqual(faults, [])
      assert.deepEqual([...objects], [])
    }
  })

  it('of the last and the first incarnation of a CPU are told from its present ones', () => {
    const machine = boot({ memory: '2 MiB', cpus: 3 })
    const { table } = readHeap(machine).owner
    joinAs(machine, 77)
    machine.cpus.declareDead(1)
    machine.heap.cache('c', Blob)
    for (const incarnation of [1, 2, MAX_INCARNATION - 1, MAX_INCARNATION, 1]) {
      // The state word of a CPU that is offline has its last incarnation.
      table.setState(1, previousIncarnation(incarnation), 'offline')
      leave(machine)
      const next = joinAs(machine, 78)
      assert.equal(table.incarnation(1), nextIncarnation(incarnation))
      const own = [next.heap.cache('c', Blob).alloc(), next.heap.alloc(5000)]
      // It takes all locks.
      machine.heap.verify({ quiet: true })
      assert.deepEqual(
        machine.heap.allocations().map(({ address }) => address),
        own,
      )
      for (const address of own) next.heap.free(address)
      machine.cpus.declareDead(1)
    }
  })
})
