/**
 * Changes of a map of ranges with their thread killed before any access to shared memory: each has
 * happened wholly or not at all, the map is whole, and no memory is lost. So it is if the reaper is
 * killed as well.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, Range, SharedRangeMap } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, killAt, killAtAccess, mem } from '../support/hooked-percpu.js'
import { fillUp } from './support/full.js'
import { bury, muteKilled } from './support/victims.js'

type Texts = SharedRangeMap<number, string>
type Ranges = readonly (readonly [from: number, to: number, value: string])[]

interface Scene {
  /** What is there before, and after. */
  readonly before: Ranges
  readonly change: (map: Texts) => unknown
  readonly after: Ranges
  /** Fewest points at which it can be killed. */
  readonly points: number
  /** It is killed at every so many of them. */
  readonly stride: number
  /** There is no memory left. */
  readonly isFull?: boolean
}

const many = Array.from({ length: 70 }, (_, i) => [i * 10, i * 10 + 4, `value ${i}`] as const)

const scenes: Readonly<Record<string, Scene>> = {
  'setting the first range': {
    before: [],
    change: (map) => map.set(5, 9, 'a'),
    after: [[5, 9, 'a']],
    points: 30,
    stride: 3,
  },
  'splitting a range': {
    before: [[0, 99, 'a']],
    change: (map) => map.set(20, 29, 'b'),
    after: [
      [0, 19, 'a'],
      [20, 29, 'b'],
      [30, 99, 'a'],
    ],
    points: 50,
    stride: 5,
  },
  'deleting from three ranges': {
    before: [
      [0, 9, 'a'],
      [10, 19, 'b'],
      [20, 29, 'c'],
    ],
    change: (map) => map.delete(5, 24),
    after: [
      [0, 4, 'a'],
      [25, 29, 'c'],
    ],
    points: 40,
    stride: 5,
  },
  'a batch of changes of several leaves': {
    before: many,
    change: (map) =>
      map.batch([
        [0, 299, 'b'],
        [600, 699],
        [1000, 1000, 'c'],
      ]),
    after: [[0, 299, 'b'], ...many.slice(30, 60), [1000, 1000, 'c']],
    points: 150,
    stride: 13,
  },
  'loading others': {
    before: many.slice(0, 3),
    change: (map) => map.load(many.slice(20, 26)),
    after: many.slice(20, 26),
    points: 60,
    stride: 13,
  },
  'deleting from a range with memory full': {
    before: many,
    change: (map) => map.delete(301, 302),
    after: [...many.slice(0, 30), [300, 300, 'value 30'], [303, 304, 'value 30'], ...many.slice(31)],
    points: 60,
    stride: 5,
    isFull: true,
  },
  'taking all away': {
    before: many.slice(0, 5),
    change: (map) => {
      map.clear()
    },
    after: [],
    points: 30,
    stride: 5,
  },
}

const options = { key: 'u32', value: 'string' } as const

interface Prepared {
  readonly machine: Machine
  readonly victim: Machine
  readonly map: Texts
  readonly dying: Texts
  readonly relieve: () => void
}
function prepare({ before: ranges, isFull = false }: Scene): Prepared {
  const machine = fresh({ memory: '640 KiB', cpus: 4 })
  const victim = joinAs(machine, 101)
  const map = machine.rangeMap('m', options)
  const dying = victim.rangeMap('m', options)
  dying.load(ranges)
  const taken = isFull ? [victim, machine].flatMap(fillUp) : []
  const relieve = (): void => {
    for (const address of taken) machine.heap.free(address)
  }
  return { machine, victim, map, dying, relieve }
}

const rangesOf = (list: Ranges): Range<number, string>[] =>
  list.map(([from, to, value]) => ({ from, to, value }))

/** The state before, or after; which of both is returned. */
function assertWhole(map: Texts, { before: old, after }: Scene, at: number): 'before' | 'after' {
  map.verify()
  const found = [...map]
  const isOld = JSON.stringify(found) === JSON.stringify(rangesOf(old))
  if (!isOld) assert.deepEqual(found, rangesOf(after), `access ${at}`)
  assert.equal(map.size, found.length)
  return isOld ? 'before' : 'after'
}

/** Whatever is freed later is free now, but for the version without ranges. */
async function assertNothingLost(machine: Machine, map: Texts, at: number): Promise<void> {
  map.set(7, 7, 'x')
  assert.equal(map.lookup(7), 'x')
  map.clear()
  map.verify()
  await map.barrier()
  machine.heap.verify({ quiet: true })
  const left = machine.heap.allocations().filter(({ size }) => size < 4096)
  assert.equal(left.length, 1, `access ${at}: ${JSON.stringify(left)}`)
}

describe('a thread killed before any access', () => {
  before(muteKilled)
  for (const [name, scene] of Object.entries(scenes))
    it(`of ${name} has done it, or not`, async () => {
      const seen = { before: 0, after: 0 }
      const points = await forEachAccessAsync(async (at) => {
        const { machine, victim, map, dying, relieve } = prepare(scene)
        const killed = killAt(() => scene.change(dying), at * scene.stride, victim)
        if (killed) {
          bury(victim)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        seen[assertWhole(map, scene, at)]++
        relieve()
        await assertNothingLost(machine, map, at)
        return killed
      })
      assert.ok(
        points * scene.stride >= scene.points && seen.before > 3 && seen.after > 1,
        JSON.stringify({ points, seen }),
      )
    })
})

describe('a reaper killed before any access', () => {
  before(muteKilled)
  const scene = scenes['a batch of changes of several leaves'] ?? assert.fail()
  const accesses = countAccesses(scene)
  /** Before it publishes, while it does, and while it queues what is old. */
  for (const left of [60, 30, 15])
    it(`of cleaning up after a change that had ${left} accesses to go leaves the rest to the next`, async () => {
      const seen = { before: 0, after: 0 }
      const points = await forEachAccessAsync(async (at) => {
        const { machine, victim, map, dying } = prepare(scene)
        const reaper = joinAs(machine, 102)
        reaper.rangeMap('m', options)
        killAtAccess(() => scene.change(dying), accesses - left, victim)
        const killed = killAt(() => reaper.cpus.declareDead(1), at * 29, reaper)
        bury(victim)
        if (killed) {
          bury(reaper)
          machine.cpus.declareDead(2)
          if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
        }
        seen[assertWhole(map, scene, at)]++
        await assertNothingLost(machine, map, at)
        return killed
      })
      // Whoever finishes it: it is done in each case, or in none.
      assert.ok(points > 5 && (seen.before === 0 || seen.after === 0), JSON.stringify({ points, seen }))
    })
})

function countAccesses(scene: Scene): number {
  const { dying } = prepare(scene)
  let count = 0
  mem.control.before = () => {
    count++
  }
  try {
    scene.change(dying)
  } finally {
    mem.control.before = undefined
  }
  return count
}
