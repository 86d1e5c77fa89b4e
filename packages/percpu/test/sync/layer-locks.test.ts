/**
 * Locks and sections of layers: with their thread killed before any access, and with another CPU in
 * the middle.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, fresh, interrupt, joinAs, killAt, mem } from '../support/hooked-percpu.js'
import { insideOf } from '../support/inside.js'

const { LayerLock, LAYER_PAGES } = await import('../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { LAYER_JOURNAL_ENTRIES } = await import('../../dist/sync/layouts.js')
const { tokenOf } = await import('../../dist/machine/token.js')

function layerLockOf(machine: Machine): InstanceType<typeof LayerLock> {
  const { memory, cpu, cpus } = machine
  const map = SyncMap.open(memory, insideOf(memory).objects)
  return new LayerLock(memory, map.layerRecord(cpu, LAYER_PAGES), tokenOf(cpu, cpus.incarnation))
}
const withLock = (): { machine: Machine; lock: number; words: number } => {
  const machine = fresh()
  const lock = machine.heap.memblock.alloc({ size: 64 }) / 4
  return { machine, lock, words: lock + 1 }
}
const valuesOf = (machine: Machine, words: number): number[] =>
  [0, 1, 2].map((i) => mem.load32(machine.memory.i32, words + i))

describe('a layer lock', () => {
  it('changes all or nothing, and leaves no lock, whenever its thread is killed', () => {
    const seen = new Set<string>()
    const points = forEachAccess((at) => {
      const { machine, lock, words } = withLock()
      const cpu = joinAs(machine, 101)
      const layerLock = layerLockOf(cpu)
      const killed = killAt(
        () =>
          layerLock.locked(lock, () =>
            layerLock.section((section) => {
              for (const word of [0, 1, 0, 2, 0]) section.write32(words + word, 7 + word)
            }),
          ),
        at,
        cpu,
      )
      machine.cpus.declareDead(1)
      seen.add(valuesOf(machine, words).join())
      assert.equal(mem.loadAtomic32(machine.memory.i32, lock), 0, `access ${at}`)
      assert.equal(layerLockOf(machine).tryLock(lock), true)
      return killed
    })
    assert.ok(points > 15)
    assert.deepEqual([...seen], ['0,0,0', '7,8,9'])
  })

  it('changes atomic words with the others, and only by atomics, whenever its thread is killed', () => {
    const seen = new Set<string>()
    const points = forEachAccess((at) => {
      const { machine, lock, words } = withLock()
      const cpu = joinAs(machine, 101)
      const layerLock = layerLockOf(cpu)
      const killed = killAt(
        () =>
          layerLock.locked(lock, () =>
            layerLock.section((section) => {
              section.writeAtomic32(words + 1, 7)
              section.write32(words, 7)
              section.writeAtomic32(words + 1, 8)
              section.write32(words + 2, 9)
            }),
          ),
        at,
        cpu,
      )
      mem.control.before = (name, [view, index]) => {
        const isAtomic = name === 'storeAtomic32' || name === 'loadAtomic32'
        if (view === machine.memory.i32 && index === words + 1) assert.ok(isAtomic, name)
      }
      try {
        machine.cpus.declareDead(1)
      } finally {
        mem.control.before = undefined
      }
      seen.add(valuesOf(machine, words).join())
      return killed
    })
    assert.ok(points > 15)
    assert.deepEqual([...seen], ['0,0,0', '7,8,9'])
  })

  it('takes atomic words back after an error, and refuses those that its journal has no room for', () => {
    const { machine, lock, words } = withLock()
    const layerLock = layerLockOf(machine)
    const failing = (writes: number) => () =>
      layerLock.locked(lock, () =>
        layerLock.section((section) => {
          section.write32(words, 1)
          for (let i = 0; i < writes; i++) section.writeAtomic32(words + 1, 5 + i)
          throw new Error('no')
        }),
      )
    const most = Math.floor((LAYER_JOURNAL_ENTRIES - 1) / 2)
    for (const writes of [1, 2, most]) {
      assert.throws(failing(writes), { message: 'no' })
      assert.deepEqual(valuesOf(machine, words), [0, 0, 0])
    }
    assert.throws(failing(most + 1), { code: 'PERCPU_JOURNAL_FULL' })
    assert.deepEqual(valuesOf(machine, words), [0, 0, 0])
  })

  it('stays when the section of the caller is taken back, and is taken back by itself', () => {
    const { machine, lock, words } = withLock()
    const layerLock = layerLockOf(machine)
    const write = (value: number): void =>
      layerLock.locked(lock, () => layerLock.section((section) => section.write32(words, value)))
    assert.throws(() =>
      machine.locks.mutex('m').run((section) => {
        section.write32(words + 1, 5)
        write(6)
        throw new Error('no')
      }),
    )
    assert.deepEqual(valuesOf(machine, words), [6, 0, 0])
    assert.throws(() =>
      layerLock.locked(lock, () =>
        layerLock.section((section) => {
          section.write32(words, 1)
          throw new Error('no')
        }),
      ),
    )
    assert.deepEqual(valuesOf(machine, words), [6, 0, 0])
    assert.throws(
      () =>
        layerLock.section((section) => {
          for (let i = 0; i <= LAYER_JOURNAL_ENTRIES; i++) section.write32(words + (i % 3), i)
        }),
      { code: 'PERCPU_JOURNAL_FULL' },
    )
    assert.deepEqual(valuesOf(machine, words), [6, 0, 0])
  })

  it('locks for one of two CPUs, whichever comes in the middle of the other', () => {
    const points = forEachAccess((at) => {
      const { machine, lock } = withLock()
      const [a, b] = [layerLockOf(joinAs(machine, 101)), layerLockOf(joinAs(machine, 102))]
      const taken: boolean[] = []
      const done = interrupt(
        () => taken.push(a.tryLock(lock)),
        at,
        () => taken.push(b.tryLock(lock)),
      )
      if (done) assert.deepEqual(taken.filter(Boolean), [true], `before access ${at}`)
      return done
    })
    assert.ok(points >= 2)
  })

  it('gives up in the end, naming who has the lock', () => {
    const { machine, lock } = withLock()
    layerLockOf(joinAs(machine, 101)).lock(lock)
    assert.throws(
      () => layerLockOf(machine).lock(lock),
      (error: { code?: string; details?: { owner?: number } }) =>
        error.code === 'PERCPU_LOCK_TIMEOUT' && error.details?.owner === 1,
    )
    machine.cpus.declareDead(1)
    layerLockOf(machine).lock(lock)
  })
})
