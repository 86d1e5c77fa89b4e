/**
 * A map that two CPUs use at the same time, in every order of their accesses; one of them may be
 * killed anywhere. What their calls give is what one Map would give, key by key.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nameStructs, type CpuContext } from 'percpu-lab'
import type { Machine, SharedMap } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { keysOf, options } from '../support/buckets.js'
import { byKey, Entry, Present } from './support/entry.js'

type Numbers = SharedMap<number, number>

const { MapLife } = await import('../../../dist/collections/map/map-layout.js')
/** Bytes of an entry of a cache, and where its life begins. */
const ENTRY = 32
const LIFE = 20

const [first = 0, second = 0] = keysOf(0, 2)
const [moved = 0] = keysOf(9, 1, 16)

/** The block of buckets for those that come is there: nobody explores how it is made. */
const withMap = (cpus: number): Promise<World> =>
  prepare({ cpus }, (machine) => {
    const map = machine.map('m', options)
    map.load([], { sizeHint: 63 })
    map.set(first, 1)
    map.set(moved, 5)
  })

/** A map, with what its CPU needs for some changes taken. */
function open(world: World, cpu: CpuContext): { machine: Machine; map: Numbers } {
  return cpu.prepare(() => {
    const machine = world.join(cpu.number)
    const map = machine.map('m', options)
    map.set(-1 - cpu.number, 0)
    return { machine, map }
  })
}

describe('a map', () => {
  it('gives what was set, while it is set', async (test) => {
    const world = await withMap(2)
    await check(world, test, (t) => {
      const history = t.history(Entry, byKey)
      t.cpu(0, (cpu) => {
        const { map } = open(world, cpu)
        history.call('set', [second, 1], () => void map.set(second, 1))
      })
      t.cpu(1, (cpu) => {
        const { map } = open(world, cpu)
        for (let i = 0; i < 2; i++) history.call('get', [second], () => map.get(second))
      })
    })
  })

  it('keeps what a killed thread has set, or nothing of it', async (test) => {
    const world = await withMap(3)
    await check(
      world,
      test,
      (t) => {
        const history = t.history(Entry, byKey)
        t.cpu(0, (cpu) => {
          const { map } = open(world, cpu)
          history.call('set', [second, 1], () => void map.set(second, 1))
        })
        t.kill(0, { reaper: () => world.reap(0) })
        t.cpu(1, (cpu) => {
          const { map } = open(world, cpu)
          history.call('get', [second], () => map.get(second))
          history.call('get', [second], () => map.get(second))
        })
      },
      { preemptions: 1 },
    )
  })

  it('gives what was there until it is deleted, and nothing that is free', async (test) => {
    const world = await withMap(2)
    await check(
      world,
      test,
      (t) => {
        const history = t.history(Entry, byKey)
        t.cpu(0, (cpu) => {
          const { map } = open(world, cpu)
          history.call('set', [second, 1], () => void map.set(second, 1))
          history.call('set', [second, 2], () => void map.set(second, 2))
          history.call('delete', [second], () => map.delete(second))
        })
        t.cpu(1, (cpu) => {
          const { map } = open(world, cpu)
          for (let i = 0; i < 2; i++) history.call('get', [second], () => map.get(second))
        })
      },
      { preemptions: 1 },
    )
  })

  it('gives a value to who takes it, or to nobody if that one is killed', async (test) => {
    const world = await withMap(3)
    await check(
      world,
      test,
      (t) => {
        const history = t.history(Present, byKey)
        t.cpu(0, (cpu) => {
          const { map } = open(world, cpu)
          history.call('take', [first], () => map.take(first))
        })
        t.kill(0, { reaper: () => world.reap(0) })
        t.cpu(1, (cpu) => {
          const { map } = open(world, cpu)
          for (let i = 0; i < 2; i++) history.call('get', [first], () => map.get(first))
        })
      },
      { preemptions: 1 },
    )
  })

  it('finds a key while its bucket is split', async (test) => {
    const world = await withMap(2)
    await check(world, test, (t) => {
      t.cpu(0, (cpu) => {
        const { map } = open(world, cpu)
        map.load([], { sizeHint: 70 - map.size })
      })
      t.cpu(1, (cpu) => {
        const { map } = open(world, cpu)
        assert.equal(map.get(moved), 5)
      })
    })
  })

  it('evicts an entry while another thread looks it up', async (test) => {
    const cache = { ...options, capacity: 2 }
    let structs: Parameters<typeof nameStructs>[2] = []
    const world = await prepare({ cpus: 2 }, (machine) => {
      const map = machine.map('cache', cache)
      map.set(first, 1)
      map.set(moved, 5)
      // Whether an entry was used is read while it is written: of all that lie in this page.
      const address = machine.heap.allocations().find(({ size }) => size === ENTRY)?.address ?? 0
      const page = address - (address % 4096)
      const lives = Array.from({ length: 4096 / ENTRY }, (_, i) => {
        const name = `entry ${i}`
        return { name, address: page + i * ENTRY + LIFE, struct: MapLife }
      })
      structs = [...machine.watch.structs(), ...lives]
    })
    const openCache = (cpu: CpuContext): Numbers =>
      cpu.prepare(() => {
        const map = world.join(cpu.number).map('cache', cache)
        // What its CPU needs for changes is taken.
        map.set(first, 1)
        return map
      })
    await check(
      world,
      test,
      (t) => {
        nameStructs(t, world.memory, structs)
        t.cpu(0, (cpu) => {
          const map = openCache(cpu)
          map.set(second, 9)
        })
        t.cpu(1, (cpu) => {
          const map = openCache(cpu)
          assert.ok([1, undefined].includes(map.get(first)))
          assert.ok([undefined, 5].includes(map.get(moved)))
          assert.ok(map.size <= 3)
        })
      },
      { preemptions: 2 },
    )
  })
})
