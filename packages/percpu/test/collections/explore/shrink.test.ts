/**
 * A map that shrinks, with the accesses of several CPUs in many orders: keys are found, each entry
 * is met once, and writers change what is there. Who shrinks it may be killed anywhere.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nameStructs, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { Machine, SharedMap } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { aboutToMerge, keysOf, options } from '../support/buckets.js'
import { byKey, Entry, Present } from './support/entry.js'

type Numbers = SharedMap<number, number>

/** Bytes of a page of the heap's, and of what begins a slab, before its tags. */
const PAGE = 4096
const HEAD = 64

/** Of bucket 8, which comes from bucket 0; and two that are in neither. */
const keys = keysOf(8, 6, 16)
const [first = 0, second = 0] = keys
const stays = keysOf(0, 1, 16)[0] ?? 0
const elsewhere = [...keysOf(3, 1), ...keysOf(5, 1)]

interface Scene {
  readonly world: World
  readonly name: (t: Scenario) => void
}
/** The tags of all objects of the heap, which are racy; the layouts have no name for them. */
function* tagsOf({ heap }: Machine): Generator<ReturnType<Machine['watch']['structs']>[number]> {
  const seen = new Set<number>()
  for (const { address, size } of heap.allocations()) {
    const page = address - (address % PAGE)
    if (size > PAGE / 8 || seen.has(page)) continue
    seen.add(page)
    const count = Math.floor((PAGE - HEAD) / (size + 4))
    const Tags = percpu.struct(`Tags${size}`, { tag: percpu.array(percpu.racy(percpu.i32), count) })
    yield { name: `slab ${page}`, address: page + HEAD, struct: Tags }
  }
}
/** `buckets`: how many there are. `entries`: of these keys, in the first slots of their bucket. */
async function withMap(cpus: number, buckets: number, set: (map: Numbers) => void): Promise<Scene> {
  let structs: ReturnType<Machine['watch']['structs']> = []
  const world = await prepare({ cpus }, (machine) => {
    const map = machine.map('m', options)
    // The block of buckets for those that come is there: nobody explores how it is made.
    map.load([], { sizeHint: buckets * 7 })
    set(map)
    structs = [...machine.watch.structs(), ...tagsOf(machine)]
  })
  return { world, name: (t) => nameStructs(t, world.memory, structs) }
}
/** A map, with what its CPU needs for changes taken. Its next `delete` of its own key merges. */
function open({ world }: Scene, cpu: CpuContext): { map: Numbers; merge: () => void; split: () => void } {
  const own = elsewhere[cpu.number % 2] ?? 0
  const map = cpu.prepare(() => {
    const opened = world.join(cpu.number).map('m', options)
    aboutToMerge(opened, own)
    return opened
  })
  return {
    map,
    merge: () => assert.ok(map.delete(own)),
    split: () => map.load([], { sizeHint: 63 - map.size }),
  }
}

/** What one CPU does to the buckets, while another one looks or writes. */
type Moves = (cpu: ReturnType<typeof open>) => void
const bounded = { preemptions: 2 } as const

/** Two CPUs: one moves entries, the other one does `work`. */
async function beside(
  test: Parameters<typeof check>[1],
  scene: Scene,
  moves: Moves,
  work: (map: Numbers) => void,
  options: Parameters<typeof check>[3] = bounded,
): Promise<void> {
  await check(
    scene.world,
    test,
    (t) => {
      scene.name(t)
      t.cpu(0, (cpu) => moves(open(scene, cpu)))
      t.cpu(1, (cpu) => work(open(scene, cpu).map))
    },
    options,
  )
}

describe('a map that shrinks', () => {
  it('gives a key while its bucket is merged', async (test) => {
    const scene = await withMap(2, 9, (map) => map.set(first, 1))
    await beside(
      test,
      scene,
      ({ merge }) => merge(),
      (map) => assert.equal(map.get(first), 1),
    )
  })

  it('gives a key while its bucket is merged and made again', async (test) => {
    // Not in the first slots: it is there when it has come back.
    const last = keys[5] ?? 0
    const scene = await withMap(2, 9, (map) => {
      for (const key of keys) map.set(key, 1)
      for (const key of keys.slice(0, 5)) map.delete(key)
    })
    await beside(
      test,
      scene,
      ({ merge, split }) => {
        merge()
        split()
      },
      (map) => {
        // Who finds nothing knows how often buckets were merged.
        assert.equal(map.has(stays), false)
        assert.equal(map.get(last), 1)
      },
    )
  })

  for (const [when, preemptions] of [
    ['to another slot', 2],
    ['between two looks', 3],
  ] as const)
    it(`gives a key while it goes to a new bucket and comes back, ${when}`, async (test) => {
      const scene = await withMap(2, 8, (map) => {
        const others = keysOf(0, 4, 16)
        for (const key of [...others, first]) map.set(key, 1)
        map.delete(others[0] ?? 0)
      })
      await beside(
        test,
        scene,
        ({ merge, split }) => {
          split()
          merge()
        },
        (map) => assert.equal(map.get(first), 1),
        { preemptions },
      )
    })

  it('is gone through while a bucket is merged and made again', async (test) => {
    const scene = await withMap(2, 9, (map) => map.set(stays, 1).set(first, 1).set(second, 1))
    await beside(
      test,
      scene,
      ({ merge, split }) => {
        merge()
        split()
      },
      (map) => {
        const met = [...map.keys()].filter((key) => !elsewhere.includes(key))
        assert.equal(met.length, 3)
        assert.deepEqual(new Set(met), new Set([stays, first, second]))
      },
      { preemptions: 1 },
    )
  })

  it('gives a key whose bucket is merged, whatever plain loads give that nothing orders', async (test) => {
    const scene = await withMap(2, 9, (map) => map.set(first, 1))
    await beside(
      test,
      scene,
      ({ merge, split }) => {
        merge()
        split()
      },
      (map) => {
        assert.equal(map.get(first), 1)
        assert.equal(map.has(second), false)
        assert.equal(map.get(first), 1)
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('gives a key, and meets it once, while who merges is killed anywhere', async (test) => {
    const scene = await withMap(3, 9, (map) => map.set(stays, 1).set(first, 1))
    await check(
      scene.world,
      test,
      (t) => {
        scene.name(t)
        t.cpu(0, (cpu) => open(scene, cpu).merge())
        t.kill(0, { reaper: () => scene.world.reap(0) })
        t.cpu(1, (cpu) => {
          const { map } = open(scene, cpu)
          assert.equal(map.get(first), 1)
          const met = [...map.keys()].filter((key) => !elsewhere.includes(key))
          assert.deepEqual(met.sort(), [stays, first].sort())
        })
      },
      { preemptions: 0 },
    )
  })

  it('has what two writers leave beside who merges', async (test) => {
    const scene = await withMap(4, 9, (map) => map.set(first, 1))
    await check(
      scene.world,
      test,
      (t) => {
        scene.name(t)
        const there = t.history(Present, byKey)
        const absent = t.history(Entry, byKey)
        t.cpu(0, (cpu) => open(scene, cpu).merge())
        t.cpu(1, (cpu) => {
          const { map } = open(scene, cpu)
          there.call('set', [first, 2], () => void map.set(first, 2))
          absent.call('get', [second], () => map.get(second))
        })
        t.cpu(2, (cpu) => {
          const { map } = open(scene, cpu)
          absent.call('set', [second, 3], () => void map.set(second, 3))
          there.call('delete', [first], () => map.delete(first))
          there.call('get', [first], () => map.get(first))
        })
      },
      { mode: 'pct', executions: 150, seed: 1, maxSteps: 40_000 },
    )
  })

  it('lacks what is deleted beside who merges and is killed anywhere', async (test) => {
    const scene = await withMap(3, 9, (map) => map.set(first, 1))
    await check(
      scene.world,
      test,
      (t) => {
        scene.name(t)
        const there = t.history(Present, byKey)
        t.cpu(0, (cpu) => open(scene, cpu).merge())
        t.kill(0, { reaper: () => scene.world.reap(0) })
        t.cpu(1, (cpu) => {
          const { map } = open(scene, cpu)
          there.call('delete', [first], () => map.delete(first))
          there.call('get', [first], () => map.get(first))
        })
      },
      { mode: 'pct', executions: 200, seed: 1 },
    )
  })
})
