/**
 * A map that shrinks, with the accesses of two CPUs in many orders: keys are found, and each entry
 * is met once. Who is killed meanwhile is in anywhere.test.ts, who writes in shrink.test.ts.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nameStructs, type CpuContext, type Scenario } from 'percpu-lab'
import type { Machine, SharedMap } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'
import { aboutToMerge, keysOf, options } from '../support/buckets.js'

type Numbers = SharedMap<number, number>

/** Of bucket 8, which comes from bucket 0; and two that are in neither. */
const keys = keysOf(8, 6, 16)
const [first = 0, second = 0] = keys
const stays = keysOf(0, 1, 16)[0] ?? 0
const elsewhere = [...keysOf(3, 1), ...keysOf(5, 1)]

interface Scene {
  readonly world: World
  readonly name: (t: Scenario) => void
}
/** `buckets`: how many there are. `entries`: of these keys, in the first slots of their bucket. */
async function withMap(cpus: number, buckets: number, set: (map: Numbers) => void): Promise<Scene> {
  let structs: ReturnType<Machine['watch']['structs']> = []
  const world = await prepare({ cpus }, (machine) => {
    const map = machine.map('m', options)
    // The block of buckets for those that come is there: nobody explores how it is made.
    map.load([], { sizeHint: buckets * 7 })
    set(map)
    structs = machine.watch.structs()
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
      (map) => assert.equal(map.get(last), 1),
    )
  })

  it('gives a key while it goes to a new bucket and comes back, to another slot', async (test) => {
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
})
