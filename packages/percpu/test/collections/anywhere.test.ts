/**
 * Changes of a map with their thread killed before any access to shared memory: each has happened
 * wholly or not at all, the map is whole, and no memory is lost. So it is if the reaper is killed
 * as well.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, killAt, killAtAccess } from '../support/hooked-percpu.js'
import { aboutToMerge, keysOf, options } from './support/buckets.js'
import { bury, muteKilled } from './support/victims.js'

type Numbers = SharedMap<number, number>
type State = Map<number, number>

interface Scene {
  /** Before anything is there. */
  readonly arrange?: (map: Numbers) => void
  /** What is there before. */
  readonly before: readonly number[]
  readonly change: (map: Numbers) => unknown
  readonly after: (state: State) => unknown
  /** Fewest points at which it can be killed. */
  readonly points: number
  /** It is killed at every so many of them. Default 1. */
  readonly stride?: number
}

const own = keysOf(0, 64)
const [first = 0, second = 0] = own
/** The first of a bucket's overflow block. */
const twelfth = own[11] ?? 0
const last = own[63] ?? 0

const scenes: Readonly<Record<string, Scene>> = {
  'inserting an entry': {
    before: [first],
    change: (map) => map.set(second, 5),
    after: (state) => state.set(second, 5),
    points: 20,
  },
  'replacing an entry': {
    before: [first, second],
    change: (map) => map.set(second, 5),
    after: (state) => state.set(second, 5),
    points: 20,
  },
  'deleting an entry': {
    before: [first, second],
    change: (map) => map.delete(first),
    after: (state) => state.delete(first),
    points: 15,
  },
  'taking an entry': {
    before: [first, second],
    change: (map) => map.take(first),
    after: (state) => state.delete(first),
    points: 25,
  },
  'inserting into an overflow block': {
    before: own.slice(0, 11),
    change: (map) => map.set(twelfth, 5),
    after: (state) => state.set(twelfth, 5),
    points: 45,
    stride: 3,
  },
  'deleting the last of an overflow block': {
    before: own.slice(0, 12),
    change: (map) => map.delete(twelfth),
    after: (state) => state.delete(twelfth),
    points: 25,
  },
  'merging two buckets': {
    arrange: (map) => {
      map.load([], { sizeHint: 63 })
      aboutToMerge(map, second)
    },
    before: [...keysOf(8, 5, 16), second],
    change: (map) => map.delete(second),
    after: (state) => state.delete(second),
    points: 70,
    stride: 2,
  },
  'splitting a bucket': {
    before: own.slice(0, 63),
    change: (map) => map.set(last, 5),
    after: (state) => state.set(last, 5),
    points: 200,
    stride: 4,
  },
}

function prepare({ arrange, before: entries }: Scene): {
  machine: Machine
  victim: Machine
  map: Numbers
  dying: Numbers
} {
  const machine = fresh({ memory: '512 KiB', cpus: 4 })
  const victim = joinAs(machine, 101)
  const map = machine.map('m', options)
  const dying = victim.map('m', options)
  arrange?.(dying)
  for (const key of entries) dying.set(key, key)
  return { machine, victim, map, dying }
}

/** The state before, or after; which of both is returned. */
function assertWhole(map: Numbers, { before: entries, after }: Scene, at: number): 'before' | 'after' {
  map.verify({ quiet: true })
  const old: State = new Map(entries.map((key) => [key, key]))
  const changed = new Map(old)
  after(changed)
  const found = new Map(map)
  assert.equal(map.size, found.size, `access ${at}: size`)
  const sorted = (state: State) => [...state].sort(([a], [b]) => a - b)
  const isOld = JSON.stringify(sorted(found)) === JSON.stringify(sorted(old))
  if (!isOld) assert.deepEqual(sorted(found), sorted(changed), `access ${at}`)
  for (const [key, value] of found) assert.equal(map.get(key), value)
  return isOld ? 'before' : 'after'
}

/** Nobody has cleaned up yet: what does not change is found, and met once. */
function assertReadable(map: Numbers, { before: entries, after }: Scene, at: number): void {
  const state: State = new Map(entries.map((key) => [key, key]))
  after(state)
  const same = entries.filter((key) => state.get(key) === key)
  for (const key of same) assert.equal(map.get(key), key, `access ${at}`)
  const met = [...map.keys()].filter((key) => same.includes(key))
  assert.deepEqual([met.length, new Set(met)], [same.length, new Set(same)], `access ${at}`)
}

/** Whatever is freed later is free now, and the blocks of buckets are all that is left. */
async function assertNothingLost(machine: Machine, map: Numbers, at: number): Promise<void> {
  map.clear()
  map.verify({ quiet: true })
  await machine.rcu.barrier()
  machine.heap.verify({ quiet: true })
  const left = machine.heap.allocations().filter(({ size }) => size <= 64)
  assert.deepEqual(left, [], `access ${at}`)
}

describe('a thread killed before any access', () => {
  before(muteKilled)
  for (const [name, scene] of Object.entries(scenes))
    it(`of ${name} has done it, or not`, async () => {
      const seen = { before: 0, after: 0 }
      const { stride = 1 } = scene
      const points = await forEachAccessAsync(async (at) => {
        const { machine, victim, map, dying } = prepare(scene)
        const killed = killAt(() => scene.change(dying), at * stride, victim)
        if (killed) {
          bury(victim)
          assertReadable(map, scene, at)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        seen[assertWhole(map, scene, at)]++
        map.set(-1, 1)
        assert.equal(map.get(-1), 1)
        await assertNothingLost(machine, map, at)
        return killed
      })
      assert.ok(
        points * stride >= scene.points && seen.before > 3 && seen.after > 1,
        JSON.stringify({ points, seen }),
      )
    })

  const halfway = { 'replacing an entry': [45], 'merging two buckets': [165], 'splitting a bucket': [1000] }
  for (const [name, deaths] of Object.entries(halfway))
    it(`of cleaning up after ${name} leaves the rest to the next reaper`, async () => {
      const scene = scenes[name] ?? assert.fail()
      for (const death of deaths)
        await forEachAccessAsync(async (at) => {
          const { machine, victim, map, dying } = prepare(scene)
          const reaper = joinAs(machine, 102)
          reaper.map('m', options)
          killAtAccess(() => scene.change(dying), death, victim)
          const killed = killAt(() => reaper.cpus.declareDead(1), at * 8, reaper)
          bury(victim)
          if (killed) {
            bury(reaper)
            machine.cpus.declareDead(2)
            if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
          }
          assertWhole(map, scene, at)
          await assertNothingLost(machine, map, at)
          return killed
        })
    })
})
