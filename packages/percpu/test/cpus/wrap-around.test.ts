/** Counts of the machine that pass their largest value: each starts shortly before it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { loadAtomic32, loadAtomicU64, storeAtomic32, storeAtomicU64 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'
import { words as freeWords } from '../support/threads.js'

const { Cpu, Header, RcuNode } = await import('../../dist/machine/layouts.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

/** Shortly before the sign changes, and before 0. */
const STARTS = [2 ** 31 - 2, -2]

function recordOf({ memory }: Machine, cpu: number): number {
  return readMap(memory).cpuTable + (cpu * Cpu.stride) / 4
}
const isPast = (start: number, now: number): boolean => start < 0 !== now < 0

describe('grace periods', () => {
  for (const start of STARTS)
    it(`end when they are counted past ${start}`, async () => {
      const machine = fresh()
      const others = [joinAs(machine, 101), joinAs(machine, 102)]
      const { i32 } = machine.memory
      const { rcuSequence, rcuNeeded, rcuExpedited } = Header.words
      // Phase 0, with no grace period under way; the one node of the tree has completed it.
      const completed = readMap(machine.memory).rcuNodes + RcuNode.words.completed
      for (const word of [rcuSequence, rcuNeeded, rcuExpedited, completed])
        storeAtomic32(i32, word, (start & ~3) - 4)
      for (let i = 0; i < 4; i++) await machine.rcu.synchronize({ timeout: 5000 })
      for (const word of [rcuSequence, rcuNeeded, completed])
        assert.ok(isPast(start, loadAtomic32(i32, word)))
      assert.deepEqual(others[0]?.online, [0, 1, 2])
    })

  it('know an idle CPU from others when its idle stretches are counted past the largest number', () => {
    const machine = fresh()
    const [word = 0] = freeWords(machine, 1)
    const { i32 } = machine.memory
    const idle = recordOf(machine, 0) + Cpu.words.idle
    for (const start of STARTS) {
      storeAtomic32(i32, idle, start)
      const isIdle = (): boolean => (loadAtomic32(i32, idle) & 1) === 1
      for (let i = 0; i < 2; i++) {
        machine.cpus.park(word, 0, 1)
        assert.equal(isIdle(), false)
        machine.cpus.deaf(() => assert.equal(isIdle(), true))
      }
      assert.ok(isPast(start, loadAtomic32(i32, idle)))
    }
  })
})

describe('cross calls', () => {
  for (const start of STARTS)
    it(`run once each when their sequence passes ${start}`, async () => {
      const machine = fresh()
      const other = joinAs(machine, 101)
      const seen: number[] = []
      other.cpus.registerFunction('f', (argument) => seen.push(argument))
      const { i32 } = machine.memory
      const { callTable, cpus } = readMap(machine.memory)
      const sequence = recordOf(machine, 0) + Cpu.words.callSequence
      // A multiple of 4; CPU 1 is done with that call.
      storeAtomic32(i32, sequence, (start & ~3) - 4)
      storeAtomic32(i32, callTable + cpus, (start & ~3) - 4)
      for (let i = 0; i < 4; i++)
        assert.deepEqual((await machine.cpus.call(1, 'f', { argument: i, timeout: 5000 })).ran, [1])
      assert.deepEqual(seen, [0, 1, 2, 3])
      assert.ok(isPast(start, loadAtomic32(i32, sequence)))
    })
})

describe('boot memory', () => {
  it('is taken and freed when the version of its list begins anew', () => {
    const machine = fresh()
    const { memblock } = machine.heap
    const { u64 } = machine.memory
    const active = Header.offsets.activeRegions / 8
    storeAtomicU64(u64, active, ((2n ** 48n - 2n) << 16n) | (loadAtomicU64(u64, active) & 0xffffn))
    const before = memblock.report().used
    const addresses = [1, 2, 3].map(() => memblock.alloc({ size: 64 }))
    assert.ok(loadAtomicU64(u64, active) >> 16n < 10n)
    assert.equal(new Set(addresses).size, 3)
    for (const address of addresses) memblock.free(address)
    assert.equal(memblock.report().used, before)
  })
})
