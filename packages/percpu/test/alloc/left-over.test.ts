/**
 * What a reaper could not free, because another CPU had the locks, is freed by whoever takes them
 * next: with that one killed before any of its accesses, and with its own reaper killed likewise.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine } from 'percpu'
import { forEachAccess, fresh, joinAs, killAt } from '../support/hooked-percpu.js'
import { bytes } from './support/bytes.js'
import { readHeap, verify } from './support/verify.js'
import { insideOf } from '../support/inside.js'
import type { Memory } from 'percpu/mem'

const { CacheLayout, HeapRoot, ZoneLayout } = await import('../../dist/alloc/layouts.js')
const { HeapMap } = await import('../../dist/alloc/heap-map.js')
const { LayerLock } = await import('../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { tokenOf } = await import('../../dist/machine/token.js')
const { load32, loadAtomic32 } = await import('percpu/mem')

const shape = bytes(512)

interface Left {
  readonly machine: Machine
  /** Who takes the locks next, and who may reap it. */
  readonly next: Machine
  readonly reaper: Machine
}

const heapMapOf = (memory: Memory) => {
  const { objects, map } = insideOf(memory)
  return HeapMap.open(memory, objects, map)
}

/** CPU 1 had objects, a slab and blocks in flight, and CPU 0 the locks when it was reaped. */
function leave(debugHeap: boolean): Left {
  const machine = fresh({ debugHeap })
  const [victim, next, reaper] = [joinAs(machine, 101), joinAs(machine, 102), joinAs(machine, 103)]
  for (const cpu of [next, reaper]) cpu.heap.free(cpu.heap.cache('c', shape).alloc())
  const word = readHeap(machine).caches.all()[0]?.at ?? 0
  for (let i = 0; i < 9; i++) victim.heap.cache('c', shape).alloc()
  victim.heap.alloc(5000)
  victim.heap.pages.alloc(0)
  const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
  const heap = heapMapOf(machine.memory)
  const holders = [word + CacheLayout.words.lock, heap.zone(0) + ZoneLayout.words.lock].map((lock, i) => {
    const holder = new LayerLock(machine.memory, map.layerRecord(0, 3 - i * 3), tokenOf(0, 1))
    holder.lock(lock)
    return holder
  })
  machine.cpus.declareDead(1)
  for (const holder of holders) holder.unlock()
  assert.equal(loadAtomic32(machine.memory.i32, heap.root + HeapRoot.words.deaths), 1)
  assert.notDeepEqual(verify(machine).faults, [])
  return { machine, next, reaper }
}
function work(cpu: Machine): void {
  const cache = cpu.heap.cache('c', shape)
  for (let i = 0; i < 5; i++) cache.alloc()
  cpu.heap.pages.alloc(1)
}
/** Nothing is left of the dead once somebody has had the locks. */
function check({ machine }: Left, when: string): void {
  const cache = machine.heap.cache('c', shape)
  cache.free(cache.alloc())
  cache.trim()
  machine.heap.pages.free(machine.heap.pages.alloc(1), 1)
  const { faults, objects } = verify(machine)
  assert.deepEqual(faults, [], when)
  assert.deepEqual([...objects.keys()], [], when)
}

describe('pages at the hand of a CPU that dies', () => {
  it('stay there if their zone is locked, and no other lock is touched', () => {
    const machine = fresh({ memory: '1 MiB', nodes: 2 })
    const [victim, other] = [joinAs(machine, 101), joinAs(machine, 103)]
    // Its stack has a page of the zone that is locked below one of a zone that is free.
    const far = victim.heap.pages.alloc(0, { node: 1 })
    const near = victim.heap.pages.alloc(0, { node: 0 })
    victim.heap.pages.free(far, 0)
    victim.heap.pages.free(near, 0)
    const map = SyncMap.open(machine.memory, insideOf(machine.memory).objects)
    const holder = new LayerLock(machine.memory, map.layerRecord(0, 3), tokenOf(0, 1))
    holder.lock(heapMapOf(machine.memory).zone(1) + ZoneLayout.words.lock)
    const magic = load32(machine.memory.i32, 0)
    machine.cpus.declareDead(1)
    assert.equal(load32(machine.memory.i32, 0), magic)
    holder.unlock()
    other.heap.trim()
    assert.deepEqual(verify(machine).faults, [])
  })
})

describe('what a dead CPU left is free', () => {
  for (const debug of [false, true]) {
    it(`although the CPU that frees it is killed before any access${debug ? ', in debug mode' : ''}`, () => {
      const points = forEachAccess((at) => {
        const left = leave(debug)
        const killed = killAt(() => work(left.next), at, left.next)
        left.machine.cpus.declareDead(2)
        check(left, `access ${at}`)
        return killed
      })
      assert.ok(points > 100, `${points}`)
    })
  }

  it('although the reaper of the next one is killed before any access', () => {
    const points = forEachAccess((point) => {
      const at = point < 150 ? point : 150 + (point - 150) * 7
      const left = leave(false)
      work(left.next)
      const killed = killAt(() => left.reaper.cpus.declareDead(2), at, left.reaper)
      left.machine.cpus.declareDead(3)
      if (left.machine.cpus.present.includes(2)) left.machine.cpus.declareDead(2)
      check(left, `access ${at}`)
      return killed
    })
    assert.ok(points > 100, `${points}`)
  })
})

describe('the bytes that are to be freed', () => {
  it('are those of the object, also of a cache that this CPU has not used', () => {
    const machine = fresh()
    const address = machine.heap.cache('c', shape).alloc({ persist: true })
    const large = machine.heap.alloc(9000, { persist: true })
    const { tags } = joinAs(machine, 101).heap as unknown as { tags: { bytesOf(address: number): number } }
    assert.ok(tags.bytesOf(address) >= shape.size && tags.bytesOf(address) < 2 * shape.size)
    assert.equal(tags.bytesOf(large), 16384)
  })
})
