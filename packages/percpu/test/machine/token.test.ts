/**
 * Incarnations begin at 1 again after the last one: nothing of the CPU's earlier ones is taken for
 * the present one's.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { boot, type Machine } from 'percpu'
import { load32, storeAtomic32 } from 'percpu/mem'
import { verify } from '../alloc/support/verify.js'
import { joinAs } from '../support/machines.js'

const {
  cpuOf,
  incarnationOf,
  isUpTo,
  MAX_INCARNATION,
  nextIncarnation,
  previousIncarnation,
  TOKEN,
  tokenOf,
} = await import('../../dist/machine/token.js')
const { Cpu } = await import('../../dist/machine/layouts.js')
const { readMap } = await import('../../dist/machine/memory-map.js')

const ends = [1, 2, 1000, 2 ** 20 - 1, 2 ** 20, MAX_INCARNATION - 1, MAX_INCARNATION]

describe('a token', () => {
  it('gives back its CPU and incarnation, whatever the flags above it', () => {
    for (const incarnation of ends) {
      for (const cpu of [0, 1, 255]) {
        const token = tokenOf(cpu, incarnation)
        assert.ok(token > 0 && token <= TOKEN)
        for (const flags of [0, 1 << 31, 1 << 30, 1 << 29, ~TOKEN])
          assert.deepEqual([cpuOf(token | flags), incarnationOf(token | flags)], [cpu, incarnation])
      }
    }
  })

  it('is followed by another incarnation, and preceded by one, around the end', () => {
    for (const incarnation of ends) {
      const next = nextIncarnation(incarnation)
      assert.ok(next >= 1 && next <= MAX_INCARNATION && next !== incarnation)
      assert.equal(previousIncarnation(next), incarnation)
      assert.deepEqual([isUpTo(incarnation, next), isUpTo(next, incarnation)], [true, false])
      assert.equal(isUpTo(incarnation, incarnation), true)
    }
    assert.equal(nextIncarnation(0), 1)
  })
})

/** As if so many threads had been CPU 1. */
function age(machine: Machine, incarnation: number): void {
  const word = readMap(machine.memory).cpuTable + Cpu.stride / 4 + Cpu.words.state
  assert.equal(load32(machine.memory.i32, word) & 7, 0)
  storeAtomic32(machine.memory.i32, word, incarnation << 3)
}

describe('the incarnation after the last one', () => {
  for (const first of [MAX_INCARNATION - 1, MAX_INCARNATION]) {
    it(`is told from the one before it, from ${first} on`, () => {
      const machine = boot({ memory: '2 MiB', cpus: 2 })
      age(machine, first - 1)
      let expected = first
      for (let thread = 101; thread < 105; thread++) {
        const cpu = joinAs(machine, thread)
        assert.equal(cpu.cpus.incarnation, expected)
        const mutex = cpu.locks.mutex('m')
        // The one before it died with the mutex.
        assert.equal(mutex.lock().predecessorDied, thread > 101)
        assert.deepEqual(machine.locks.mutex('m').owner, { cpu: 1, incarnation: expected })
        cpu.locks.semaphore('s', 2).acquire(2)
        const region = cpu.heap.memblock.alloc({ size: 64 })
        const { owner } =
          machine.heap.memblock.report().regions.find(({ address }) => address === region) ?? {}
        assert.deepEqual(owner, { cpu: 1, incarnation: expected })
        cpu.heap.alloc(64)
        cpu.heap.pages.alloc(0)
        assert.deepEqual(
          machine.heap.allocations().map(({ incarnation }) => incarnation),
          [expected],
        )
        machine.cpus.declareDead(1)
        assert.deepEqual([machine.heap.allocations(), machine.locks.semaphore('s', 2).available], [[], 2])
        assert.ok(!machine.heap.memblock.report().regions.some(({ address }) => address === region))
        assert.deepEqual(verify(machine).faults, [])
        expected = nextIncarnation(expected)
      }
    })
  }
})
