/** A map with fewer entries than before gives buckets back, and their memory; and grows again. */
import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { forEachAccess, fresh, interrupt, joinAs, mem } from '../support/hooked-percpu.js'
import { aboutToMerge, keysOf, options } from './support/buckets.js'

const { Callbacks } = await import('../../dist/rcu/callbacks.js')

type Numbers = SharedMap<number, number>

const many = Array.from({ length: 1000 }, (_, key) => key)
/** Of bucket 8 of 9, of its parent, and of two others. */
const moving = keysOf(8, 6, 16)
const staying = keysOf(0, 2, 16)
const [own = 0] = keysOf(3, 1)
const [others = 0] = keysOf(5, 1)

function sizesOf(machine: Machine): number {
  return machine.heap.allocations().reduce((sum, { size }) => sum + size, 0)
}
const bucketsOf = (map: Numbers): number => map.report().buckets

/** Until what was unnamed is free: blocks of buckets are named for a grace period longer. */
async function settle(machine: Machine): Promise<void> {
  for (let i = 0; i < 3; i++) await machine.rcu.barrier()
}

/** What `work` wants to be called after a grace period, and is not. */
function takeCallbacks(work: () => unknown): (() => void)[] {
  const taken: (() => void)[] = []
  const call = mock.method(Callbacks.prototype, 'call', (callback: () => void) => {
    taken.push(callback)
    return Promise.resolve()
  })
  work()
  call.mock.restore()
  return taken
}

describe('a map that is emptied', () => {
  it('gives all its memory back, whoever empties it, as often as it is filled', async () => {
    const machine = fresh({ memory: '2 MiB', cpus: 2 })
    const map = machine.map('m', options)
    const other = joinAs(machine, 101).map('m', options)
    const turns = [map, other, map]
    for (const emptied of turns) {
      for (const key of many) map.set(key, key)
      assert.ok(bucketsOf(map) > 130)
      for (const key of many) {
        assert.ok(emptied.delete(key))
        if (key % 100 === 0)
          for (const each of many) assert.equal(map.get(each), each > key ? each : undefined)
      }
      map.verify({ quiet: true })
      assert.ok(bucketsOf(map) <= 16, `${bucketsOf(map)} buckets`)
      await settle(machine)
      assert.ok(sizesOf(machine) < 16384, `${sizesOf(machine)} bytes`)
    }
    machine.heap.verify({ quiet: true })
  })

  it('does so by clear, by take, and when a cache takes entries out', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const plain = machine.map('plain', options)
    for (const key of many) plain.set(key, key)
    plain.clear()
    assert.ok(bucketsOf(plain) <= 16)
    for (const key of many) plain.set(key, key)
    for (const key of many) assert.equal(plain.take(key), key)
    assert.ok(bucketsOf(plain) <= 16)
    const cache = machine.map('cache', { ...options, capacity: 2000 })
    for (const key of many) cache.set(key, key)
    assert.equal(cache.evict(990), 990)
    for (let i = 0; i < 200; i++) cache.set(5000, i)
    assert.ok(bucketsOf(cache) <= 16, `${bucketsOf(cache)}`)
    cache.verify({ quiet: true })
    await settle(machine)
    machine.heap.verify({ quiet: true })
  })

  it('grows again for a thread that has seen it larger', () => {
    const machine = fresh({ memory: '2 MiB', cpus: 2 })
    const map = machine.map('m', options)
    const other = joinAs(machine, 101).map('m', options)
    for (const key of many) map.set(key, key)
    for (const key of many) other.delete(key)
    assert.ok(bucketsOf(map) <= 16)
    for (const key of many.slice(0, 500)) map.set(key, key)
    assert.ok(bucketsOf(map) > 60)
  })

  it('keeps a block of buckets that it needs again by then', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('m', options)
    for (const key of many) map.set(key, key)
    map.clear()
    // In the same stretch: what waits for a grace period finds all blocks in use again.
    for (const key of many) map.set(key, key)
    await settle(machine)
    map.verify({ quiet: true })
    for (const key of many) assert.equal(map.get(key), key)
    map.clear()
    await settle(machine)
    assert.ok(sizesOf(machine) < 16384)
    machine.heap.verify({ quiet: true })
  })

  it('gives a block back in the middle of growing, and another one is made', () => {
    forEachAccess((at) => {
      const machine = fresh({ cpus: 2 })
      const map = machine.map('m', options)
      const other = joinAs(machine, 101).map('m', options)
      other.load([], { sizeHint: 63 })
      aboutToMerge(other, own)
      const due = takeCallbacks(() => other.delete(own))
      assert.equal(due.length, 1)
      for (const key of moving) map.set(key, key)
      const isInside = interrupt(
        () => map.load([], { sizeHint: 63 - map.size }),
        at,
        () => due[0]?.(),
      )
      map.verify({ quiet: true })
      map.load([], { sizeHint: 70 - map.size })
      assert.equal(bucketsOf(map), 10, `access ${at}`)
      for (const key of moving) assert.equal(map.get(key), key)
      map.verify({ quiet: true })
      return isInside && at < 24
    })
  })

  it('may be removed before its blocks are free', async () => {
    const machine = fresh({ memory: '2 MiB' })
    for (const hold of [false, true]) {
      const map = machine.map('m', { ...options, hold })
      for (const key of many) map.set(key, key)
      map.clear()
      await machine.remove('map', 'm')
      await settle(machine)
      machine.heap.verify({ quiet: true })
    }
  })
})

describe('a bucket that is merged', () => {
  /** 9 buckets; the next delete of `own` makes it 8, and `split` 9 again. */
  function prepare(): {
    machine: Machine
    map: Numbers
    other: Numbers
    merge: () => void
    split: () => void
  } {
    const machine = fresh({ memory: '512 KiB', cpus: 4 })
    const [map, other, third] = [machine, joinAs(machine, 101), joinAs(machine, 102)].map((user) =>
      user.map('m', options),
    ) as [Numbers, Numbers, Numbers]
    map.load([], { sizeHint: 63 })
    for (const key of [...moving, ...staying]) map.set(key, key)
    // Those that stay are not in the first slots. Nobody else has deleted anything yet.
    for (const key of moving.slice(0, 3)) third.delete(key)
    map.set(others, 0)
    aboutToMerge(other, own)
    return {
      machine,
      map,
      other,
      merge: () => assert.ok(other.delete(own)),
      split: () => other.load([], { sizeHint: 63 - other.size }),
    }
  }
  const left = [...moving.slice(3), ...staying]

  it('takes what its overflow blocks have along, also if its parent is full', () => {
    for (const [inChild, inParent] of [
      [11, 11],
      [16, 11],
      [11, 16],
      [24, 0],
      [0, 24],
    ] as const) {
      const map = fresh({ memory: '512 KiB' }).map('m', options)
      map.load([], { sizeHint: 63 })
      const all = [...keysOf(8, inChild, 16), ...keysOf(0, inParent, 16)]
      for (const key of all) map.set(key, key)
      // Few for so many buckets: the others are empty.
      map.load([], { sizeHint: 7 * 60 })
      map.set(own, 0)
      for (let i = 0; i < 100; i++) {
        map.delete(own)
        map.set(own, 0)
      }
      map.delete(own)
      map.verify({ quiet: true })
      assert.deepEqual(new Set(map.keys()), new Set(all))
      assert.equal(map.size, all.length)
      for (const key of all) assert.equal(map.get(key), key)
      assert.equal(bucketsOf(map), 8)
    }
  })

  it('in the middle of looking a key up does not keep it from being found', () => {
    for (const isMadeAgain of [false, true])
      for (const key of [left[2] ?? 0])
        forEachAccess((at) => {
          const { map, merge, split } = prepare()
          let found: number | undefined
          const isInside = interrupt(
            () => (found = map.get(key)),
            at,
            () => {
              merge()
              if (isMadeAgain) split()
            },
          )
          assert.equal(found, key, `access ${at}`)
          if (isInside) assert.equal(bucketsOf(map), isMadeAgain ? 9 : 8)
          return isInside
        })
  })

  it('in the middle of going through all has each entry come once', () => {
    for (const isMadeAgain of [false, true])
      forEachAccess((at) => {
        const { map, merge, split } = prepare()
        let keys: number[] = []
        const isInside = interrupt(
          () => (keys = [...map.keys()]),
          at * 2,
          () => {
            merge()
            if (isMadeAgain) split()
          },
        )
        const met = keys.filter((key) => key !== own && key !== others)
        assert.equal(met.length, left.length, `access ${at}`)
        assert.deepEqual(new Set(met), new Set(left))
        // Its bucket is the second one.
        return isInside && at < 30
      })
  })

  it('in the middle of changes finds what they leave', () => {
    const [first = 0, second = 0, third = 0] = moving.slice(3)
    forEachAccess((at) => {
      const { map, other, merge } = prepare()
      const change = (): void => {
        map.set(first, 7)
        map.delete(second)
        map.update(third, (value = 0) => value + 5)
      }
      const isInside = interrupt(change, at * 7, merge)
      map.verify({ quiet: true })
      for (const seen of [map, other]) {
        assert.equal(seen.get(first), 7, `access ${at}`)
        assert.equal(seen.has(second), false)
        assert.equal(seen.get(third), third + 5)
      }
      return isInside
    })
  })

  it('or split by another one in the middle of merging hides no key', () => {
    for (const isSplit of [false, true])
      for (let at = 1; at < 24; at++) {
        const { map, other, merge } = prepare()
        other.load([], { sizeHint: 70 - other.size })
        aboutToMerge(map, others)
        let count = 0
        mem.control.before = () => {
          const { before } = mem.control
          mem.control.before = undefined
          if (++count === at && isSplit) other.load([], { sizeHint: 80 - other.size })
          else if (count === at) merge()
          for (const key of left) assert.equal(other.get(key), key, `access ${at}, ${count}`)
          mem.control.before = before
        }
        try {
          map.delete(others)
        } finally {
          mem.control.before = undefined
        }
        map.verify({ quiet: true })
      }
  })

  it('in the middle of splitting the next one leaves each key where it belongs', () => {
    const next = keysOf(9, 2, 16)
    for (let at = 1; at < 24; at++) {
      const { map, other, merge } = prepare()
      for (const key of next) map.set(key, key)
      let count = 0
      mem.control.before = () => {
        const { before } = mem.control
        mem.control.before = undefined
        if (++count === at) merge()
        for (const key of next) assert.equal(other.get(key), key, `access ${at}, ${count}`)
        mem.control.before = before
      }
      try {
        map.load([], { sizeHint: 70 - map.size })
      } finally {
        mem.control.before = undefined
      }
      map.verify({ quiet: true })
      for (const key of [...left, ...next]) assert.equal(map.get(key), key)
    }
  })

  it('and made again around a writer that locks it late is not merged under its hands', () => {
    const key = moving[0] ?? 0
    const [another = 0] = keysOf(6, 1)
    let times = 0
    // Merged before the writer takes any lock, made again then, and merged so many accesses later.
    for (let lock = 1; lock < 3; lock++)
      for (let gap = 1; gap < 16; gap += 2) {
        const { machine, map, merge, split } = prepare()
        const last = joinAs(machine, 103).map('m', options)
        aboutToMerge(last, another)
        let locks = 0
        let since = 0
        mem.control.before = (name) => {
          const { before } = mem.control
          mem.control.before = undefined
          if (name === 'compareExchangeAtomic32' && ++locks === lock) {
            merge()
            since = 1
          } else if (since > 0) {
            if (since === 1) split()
            if (since++ === gap) last.delete(another)
            if (since > gap) times++
          }
          mem.control.before = before
        }
        try {
          map.set(key, 5)
        } finally {
          mem.control.before = undefined
        }
        map.verify({ quiet: true })
        assert.equal(map.get(key), 5, `lock ${lock}, ${gap} accesses later`)
        for (const each of left) assert.equal(map.get(each), each)
      }
    assert.ok(times > 5)
  })
})
