/**
 * A map that two CPUs use at the same time, in every order of their accesses; one of them may be
 * killed anywhere. What their calls give is what one Map would give, key by key.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CpuContext } from 'percpu-lab'
import type { Machine, SharedMap } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { keysOf, options } from '../support/buckets.js'

type Numbers = SharedMap<number, number>

const [first = 0, second = 0] = keysOf(0, 2)
const [moved = 0] = keysOf(9, 1, 16)

class Entry {
  value: number | undefined = undefined
  set(...[, value]: [key: number, value: number]): void {
    this.value = value
  }
  get(): number | undefined {
    return this.value
  }
  delete(): boolean {
    const had = this.value !== undefined
    this.value = undefined
    return had
  }
}
const byKey = {
  key: ({ args }: { readonly args: readonly unknown[] }) => args[0] as number,
  queries: ['get'],
} as const

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
})
