/** Where this layer's structs lie, and what a CPU says of itself while it sleeps. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { throwsCode } from '../support/codes.js'
import { fresh, joinAs, mem } from '../support/hooked-percpu.js'
import { insideOf } from '../support/inside.js'

const { Cpu } = await import('../../dist/machine/layouts.js')

describe('the structs of CPUs', () => {
  it('lie where the table of CPUs has them, behind the header', () => {
    const machine = fresh({ cpus: 2 })
    const { table } = insideOf(machine.memory)
    const placed = new Map(machine.watch.structs().map(({ name, address }) => [name, address]))
    assert.equal(placed.get('header'), 0)
    for (const cpu of [0, 1]) assert.equal(placed.get(`cpu[${cpu}]`), table.record(cpu) * 4)
  })
})

describe('a CPU that sleeps for a lock', () => {
  it('says whose waiter it is before it falls asleep', () => {
    const machine = fresh({ cpus: 2 })
    const sleeper = joinAs(machine, 101)
    const mutex = machine.locks.mutex('m')
    sleeper.locks.mutex('m')
    const word = insideOf(machine.memory).table.record(sleeper.cpu) + Cpu.words.parkedOn
    const guard = mutex.lock()
    const said: number[] = []
    mem.control.before = (name) => {
      if (name === 'wait32') said.push(Atomics.load(new Int32Array(machine.memory.buffer), word))
    }
    try {
      throwsCode(() => sleeper.locks.mutex('m').lock({ timeout: 100 }), 'PERCPU_LOCK_TIMEOUT')
    } finally {
      mem.control.before = undefined
    }
    guard.unlock()
    // Below -1: a waiter in the mask of this mutex. The naps before are for nobody's ring.
    assert.ok(
      said.some((whom) => whom < -1),
      said.join(', '),
    )
  })
})
