/**
 * The debug mode with threads that are killed, with locks that cannot be had, and with several CPUs
 * at once: no false alarm.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, fresh, interrupt, joinAs, killAt, mem } from '../support/hooked-percpu.js'
import { bytes } from './support/bytes.js'
import { readHeap, verify } from './support/verify.js'
import { insideOf } from '../support/inside.js'

const { CacheLayout } = await import('../../dist/alloc/layouts.js')
const { LayerLock } = await import('../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { tokenOf } = await import('../../dist/machine/token.js')

function twoCpus(debugHeap = true): readonly [Machine, Machine] {
  const machine = fresh({ memory: '1 MiB', debugHeap })
  return [machine, joinAs(machine, 101)]
}
function whole(machine: Machine, when: string): void {
  assert.deepEqual(verify(machine).faults, [], when)
}
function holdsLock(machine: Machine, cpu: number): boolean {
  const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
  return [0, 1, 2, 3].some((layer) => mem.loadU32(machine.memory.u32, map.layerRecord(cpu, layer)) !== 0)
}
const shape = bytes(512)

describe('in debug mode', () => {
  it('a kept object is whole or free when its thread is killed before any access of freeing it', () => {
    let left = 0
    const points = forEachAccess((at) => {
      const [machine, cpu] = twoCpus()
      const address = machine.heap.alloc(40, { persist: true, label: 'kept' })
      const killed = killAt(() => cpu.heap.free(address), at, cpu)
      machine.cpus.declareDead(1)
      for (const found of machine.heap.allocations()) {
        left++
        assert.equal(found.address, address)
        machine.heap.free(address)
      }
      whole(machine, `access ${at}`)
      for (let i = 0; i < 10; i++) machine.heap.alloc(40)
      return killed
    })
    assert.ok(points > 5 && left > 0 && left < points)
  })

  it('an object is as before when a lock that freeing it needs is never released', () => {
    const [machine, cpu] = twoCpus()
    const cache = cpu.heap.cache('c', shape)
    const all = Array.from({ length: 20 }, () => cache.alloc())
    const holder = new LayerLock(
      machine.memory,
      SyncMap.open(machine.memory, insideOf(machine.memory).objects).layerRecord(0, 3),
      tokenOf(0, 1),
    )
    holder.lock((readHeap(machine).caches.all()[0]?.at ?? 0) + CacheLayout.words.lock)
    assert.throws(
      () => {
        for (let next = all[0]; next !== undefined; next = all[0]) {
          mem.store32(machine.memory.i32, next / 4, 7)
          cache.free(next)
          all.shift()
        }
      },
      { code: 'PERCPU_LOCK_TIMEOUT' },
    )
    holder.unlock()
    assert.equal(mem.load32(machine.memory.i32, (all[0] ?? 0) / 4), 7)
    assert.equal(machine.heap.allocations().length, all.length)
    for (const address of all) cache.free(address)
    whole(machine, 'afterwards')
  })

  const changes: Readonly<Record<string, (cpu: Machine, own: readonly number[]) => unknown>> = {
    'frees an object': (cpu, own) => cpu.heap.free(own[0] ?? 0),
    'takes one of another length': (cpu, own) => {
      cpu.heap.free(own[0] ?? 0)
      cpu.heap.alloc(33)
    },
    'gives a slab back': (cpu, own) => {
      for (const address of own) cpu.heap.free(address)
      cpu.heap.trim()
    },
    'gives a slab back that becomes something else': (cpu, own) => {
      for (const address of own) cpu.heap.free(address)
      cpu.heap.trim()
      for (let i = 0; i < 40; i++) {
        const page = cpu.heap.pages.tryAlloc(0)
        if (page !== undefined) mem.fillBytes(cpu.memory, page, 4096, 0x41)
      }
    },
  }
  for (const [name, change] of Object.entries(changes)) {
    it(`leaks() raises no false alarm in the middle of another CPU's work, which ${name}`, () => {
      const points = forEachAccess((point) => {
        const at = point < 200 ? point : 200 + (point - 200) * 13
        const [machine, cpu] = twoCpus()
        const own = Array.from({ length: 8 }, () => cpu.heap.alloc(40))
        return interrupt(
          () => change(cpu, own),
          at,
          () => machine.heap.allocations(),
        )
      })
      assert.ok(points > 20)
    })

    for (const debug of [true, false]) {
      it(`allocations() ${debug ? 'raises no false alarm' : 'without debug mode lists nothing else'} when another CPU ${name} meanwhile`, () => {
        const points = forEachAccess((point) => {
          const at = point < 100 ? point : 100 + (point - 100) * 5
          const [machine, cpu] = twoCpus(debug)
          // In the middle of the slab's tags, and of the objects.
          const own = Array.from({ length: 8 }, () => cpu.heap.alloc(40))
          const result: ReturnType<Machine['heap']['allocations']> = []
          let most = 0
          const done = interrupt(
            () => {
              result.push(...machine.heap.allocations())
              for (const { allocated } of machine.heap.report().caches) most = Math.max(most, allocated)
            },
            at,
            () => {
              if (!holdsLock(machine, 0)) change(cpu, own)
            },
          )
          assert.ok(most <= own.length + 1, `${most} objects`)
          for (const found of result) {
            const isKnown = found.incarnation === 1 && found.cpu === 1 && found.cache === 'size-48'
            assert.ok(isKnown, `access ${at}: ${JSON.stringify(found)}`)
          }
          return done
        })
        assert.ok(points > 20)
      })
    }
  }
})
