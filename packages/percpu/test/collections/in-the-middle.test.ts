/** Another CPU in the middle of an operation, before any of its accesses. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { forEachAccess, fresh, interrupt, joinAs, percpu } from '../support/hooked-percpu.js'
import { keysOf, options } from './support/buckets.js'

const { LockTimeoutError } = percpu

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

describe('another CPU in the middle', () => {
  it('of going through all, which splits many buckets, hides no entry', () => {
    forEachAccess((at) => {
      const machine = fresh({ memory: '1 MiB', cpus: 2 })
      const map = machine.map('m', options)
      const other = joinAs(machine, 101).map('m', options)
      for (let key = 0; key < 60; key++) map.set(key, key)
      const seen: number[] = []
      const isInside = interrupt(
        () => seen.push(...map.keys()),
        at * 5,
        () => {
          for (let key = 1000; key < 1100; key++) other.set(key, 1)
        },
      )
      const stable = seen.filter((key) => key < 60).sort((a, b) => a - b)
      assert.deepEqual(
        stable,
        Array.from({ length: 60 }, (_, key) => key),
        `access ${at}`,
      )
      return isInside
    })
  })

  it('of looking for the nearest range, which moves it, is seen as a whole', () => {
    forEachAccess((at) => {
      const machine = fresh({ memory: '1 MiB', cpus: 2 })
      const map = machine.rangeMap('r', { key: 'u32', value: 'u32' })
      const other = joinAs(machine, 101).rangeMap('r', { key: 'u32', value: 'u32' })
      map.load([
        [48, 48, 1],
        [100, 110, 2],
      ])
      let found: number | undefined
      const isInside = interrupt(
        () => (found = map.nearest(50)?.from),
        at,
        () =>
          other.batch([
            [48, 48],
            [50, 50, 1],
          ]),
      )
      assert.ok(found === 48 || found === 50, `access ${at}: ${String(found)}`)
      return isInside
    })
  })

  it('of deleting, which takes the lock then, does not make it fail', () => {
    forEachAccess((at) => {
      const { machine, map, other } = prepare()
      const [key = 0] = all
      const isInside = interrupt(
        () => map.delete(key),
        at,
        () => other.set(key + 1, 1),
      )
      assert.equal(map.has(key), false)
      map.verify()
      machine.heap.verify()
      return isInside
    })
  })

  it('of a change, which changes the entry, is no fault of the change', () => {
    const { map, other } = prepare()
    const [key = 0, another = 0] = all
    let calls = 0
    const value = map.update(key, (before = 0) => {
      map.set(another, 1)
      if (calls++ === 0) other.set(key, 40)
      return before + 1
    })
    assert.deepEqual([value, calls, map.get(key)], [41, 2, 41])
  })
})

describe('another CPU that takes an entry in the middle', () => {
  it('of taking it gets its value, and the first one none', () => {
    const [key = 0] = all
    const points = forEachAccess((at) => {
      const { map, other } = prepare()
      const values: (number | undefined)[] = []
      let isLocked = false
      const take = (): void => {
        try {
          values.push(other.take(key))
        } catch (error) {
          assert.ok(error instanceof LockTimeoutError)
          isLocked = true
        }
      }
      const isInside = interrupt(() => values.push(map.take(key)), at, take) && !isLocked
      assert.deepEqual(values, isInside ? [key, undefined] : [key], `access ${at}`)
      assert.equal(map.has(key), false)
      map.verify({ quiet: true })
      return isInside
    })
    assert.ok(points > 8, `${points}`)
  })
})

describe('code of the caller in the middle', () => {
  it('of sending, which sends, too, takes nothing of the message', () => {
    const ring = fresh({ memory: '512 KiB' }).ring('r', { value: 'string', bytes: 512 })
    ring.send('first', {
      get timeout() {
        ring.trySend('inner')
        return 100
      },
    })
    const received = ring.receiveMany(10)
    assert.equal(received.at(-1), 'first')
    assert.ok(received.slice(0, -1).every((message) => message === 'inner'))
  })

  it('has taken the memory of bytes away before: that is told', () => {
    const machine = fresh({ memory: '512 KiB' })
    const gone = new Uint8Array(8)
    structuredClone(gone, { transfer: [gone.buffer] })
    const map = machine.map('b', { key: 'bytes', value: 'bytes' })
    const refused = { code: 'PERCPU_ARGUMENT' }
    assert.throws(() => map.set(gone, Uint8Array.of(1)), refused)
    assert.throws(() => map.set(Uint8Array.of(1), gone), refused)
    assert.throws(() => machine.ring('r').trySend(gone), refused)
    assert.equal(map.size, 0)
  })
})
