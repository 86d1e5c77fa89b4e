/** Another CPU in the middle of an operation, before any of its accesses. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { forEachAccess, fresh, interrupt, joinAs } from '../support/hooked-percpu.js'
import { keysOf, options } from './support/buckets.js'

type Numbers = SharedMap<number, number>

/** Of bucket 1, and those of them that move when it is split. */
const all = keysOf(1, 20)
const moving = keysOf(9, 6, 16)

function prepare(): { machine: Machine; map: Numbers; other: Numbers } {
  const machine = fresh({ memory: '512 KiB', cpus: 2 })
  const map = machine.map('m', options)
  const other = joinAs(machine, 101).map('m', options)
  // What is needed later is made: another CPU in the middle of making it would find locks taken.
  other.set(-1, 0)
  other.delete(-1)
  for (const key of all) map.set(key, key)
  // Bucket 0, with the block of buckets for those that come.
  map.load([], { sizeHint: 63 - map.size })
  return { machine, map, other }
}
/** Splits bucket 1, unless it is locked. */
const split = (map: Numbers): unknown => map.load([], { sizeHint: 70 - map.size })

describe('another CPU that splits a bucket in the middle', () => {
  it('of looking a key up does not keep it from being found', () => {
    for (const key of [moving[0] ?? 0, moving[5] ?? 0]) {
      let found: number | undefined
      const points = forEachAccess((at) => {
        const { map, other } = prepare()
        map.set(key, 5)
        const isInside = interrupt(
          () => (found = map.get(key)),
          at,
          () => split(other),
        )
        assert.equal(found, 5, `access ${at}`)
        if (isInside) assert.equal(map.report().buckets, 10)
        return isInside
      })
      assert.ok(points > 6)
    }
  })

  it('of setting, deleting and exchanging finds what it leaves', () => {
    const [first = 0, second = 0, third = 0] = moving
    let splits = 0
    forEachAccess((at) => {
      const { map, other } = prepare()
      const change = (): void => {
        map.set(first, 7)
        map.delete(second)
        map.update(third, (value = 0) => value + 5)
      }
      const isInside = interrupt(change, at, () => split(other))
      if (map.report().buckets > 9) splits++
      map.verify({ quiet: true })
      for (const seen of [map, other]) {
        assert.equal(seen.get(first), 7, `access ${at}`)
        assert.equal(seen.has(second), false)
        assert.equal(seen.get(third), third + 5)
      }
      return isInside
    })
    assert.ok(splits > 10)
  })

  it('of splitting leaves each key where it belongs', () => {
    let before: readonly (readonly [number, number])[] = []
    forEachAccess((at) => {
      const { map, other } = prepare()
      before = [...map]
      const isInside = interrupt(
        () => split(map),
        at,
        () => {
          split(other)
          for (const [key, value] of before) assert.equal(other.get(key), value, `access ${at}`)
          assert.deepEqual(new Map(other), new Map(before))
        },
      )
      map.verify({ quiet: true })
      assert.equal(map.report().buckets, 10)
      assert.deepEqual(new Map(map), new Map(before))
      return isInside
    })
  })

  it('of going through all has each entry come once', () => {
    forEachAccess((at) => {
      const { map, other } = prepare()
      let keys: number[] = []
      const isInside = interrupt(
        () => (keys = [...map.keys()]),
        at * 7,
        () => {
          other.load([], { sizeHint: 90 })
          other.set(-5, 5)
        },
      )
      const seen = keys.filter((key) => key !== -5)
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        [...all].sort((a, b) => a - b),
        `access ${at}`,
      )
      return isInside
    })
  })
})
