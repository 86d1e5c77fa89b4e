/** Maps that take entries out by themselves: of a capacity, and of entries whose time is over. */
import assert from 'node:assert/strict'
import { afterEach, before, describe, it } from 'node:test'
import { forEachAccessAsync, fresh, joinAs, killAt, percpu } from '../support/hooked-percpu.js'
import { keysOf, options as plain } from './support/buckets.js'
import { bury, muteKilled } from './support/victims.js'

const { ArgumentError, MapMismatchError, OutOfMemoryError } = percpu
const options = { key: 'i32', value: 'i32' } as const

/** How far machine time is ahead of the clock, in ms. */
let ahead = 0
const now = performance.now.bind(performance)
performance.now = () => now() + ahead
afterEach(() => (ahead = 0))

describe('a map with a capacity', () => {
  it('has no more entries, and keeps those that are looked up', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const other = joinAs(machine, 101)
    const made = { ...options, capacity: 100 }
    const map = machine.map('m', made)
    const maps = [map, other.map('m', made)]
    const hot = [1, 2, 3, 4, 5, 6, 7, 8]
    for (const key of hot) map.set(key, -key)
    for (let i = 0; i < 5000; i++) {
      maps[i & 1]?.set(1000 + i, i)
      assert.ok(map.size <= 100, `${map.size} entries`)
      for (const key of hot) assert.equal(maps[(i % 3) & 1]?.get(key), -key, `${key} after ${i}`)
      if (i % 100 === 0) await machine.rcu.barrier()
    }
    assert.equal(map.size, 100)
    const { evictions, expirations } = map.report()
    assert.deepEqual({ evictions, expirations }, { evictions: 5008 - 100, expirations: 0 })
    map.verify({ quiet: true })
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
    await other.offline()
  })

  it('takes one out though all are looked up all the time', () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('m', { ...options, capacity: 500 })
    for (let i = 0; i < 1000; i++) {
      map.set(i, i)
      for (const key of map.keys()) map.get(key)
      assert.ok(map.size <= 500)
      assert.equal(map.get(i), i)
      if (i % 100 === 0) machine.rcu.barrierBlocking({ timeout: 10_000 })
    }
  })

  it('takes none out when an entry is replaced, refused or not needed', () => {
    const machine = fresh()
    const map = machine.map('m', { ...options, capacity: 3 })
    for (const key of [1, 2, 3]) map.set(key, key)
    for (let i = 0; i < 50; i++) map.set(1 + (i % 3), i)
    map.getOrInsert(2, 7)
    assert.equal(map.compareAndSet(4, 1, 1), false)
    assert.equal(map.delete(4), false)
    assert.deepEqual([...map.keys()].sort(), [1, 2, 3])
    assert.equal(map.report().evictions, 0)
    map.load([[4, 4]], { sizeHint: 1_000_000 })
    assert.equal(map.size, 3)
    assert.equal(map.get(4), 4)
  })

  it('puts a new entry or none: with memory full no other one goes', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('big', { key: 'i32', value: 'bytes', capacity: 100_000 })
    const big = new Uint8Array(5000)
    let count = 0
    const fill = (): void => {
      for (;;) map.set(count++, big)
    }
    assert.throws(fill, OutOfMemoryError)
    const before = [...map.keys()]
    assert.ok(before.length > 50)
    for (const call of [
      () => map.set(-1, big),
      () => map.getOrInsert(-1, big),
      () => map.update(0, () => big.fill(1)),
      () => map.compareAndSet(-1, undefined, big),
    ])
      assert.throws(call, OutOfMemoryError)
    assert.deepEqual([...map.keys()], before)
    assert.equal(map.report().evictions, 0)
    assert.deepEqual(map.get(0), new Uint8Array(5000))
    // There is room again once somebody says so.
    for (const key of before) if (key < 3) map.get(key)
    assert.equal(map.evict(10), 10)
    assert.equal(map.report().evictions, 10)
    for (const key of [0, 1, 2]) assert.ok(map.has(key), `${key} was looked up`)
    await map.barrier()
    map.set(-1, big)
    assert.equal(map.evict(2 ** 31 - 1), map.report().evictions - 10)
    assert.equal(map.size, 0)
    assert.equal(map.evict(1), 0)
    assert.equal(map.evict(0), 0)
    map.verify({ quiet: true })
    await map.barrier()
    machine.heap.verify({ quiet: true })
    for (const wrong of [-1, 1.5, '1', 2 ** 31])
      assert.throws(() => map.evict(wrong as number), ArgumentError)
    assert.throws(() => machine.map('plain', options).evict(1), ArgumentError)
  })

  it('refused for want of memory costs no entry of a full map either', () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('big', { key: 'i32', value: 'bytes', capacity: 3 })
    for (const key of [1, 2, 3]) map.set(key, Uint8Array.of(key))
    const others = machine.map('others', { key: 'i32', value: 'bytes' })
    assert.throws(() => {
      for (let i = 0; ; i++) others.set(i, new Uint8Array(3000))
    }, OutOfMemoryError)
    assert.throws(() => map.set(4, new Uint8Array(5000)), OutOfMemoryError)
    assert.deepEqual([...map.keys()].sort(), [1, 2, 3])
  })

  it('of one entry has the last one', () => {
    const map = fresh().map('m', { ...options, capacity: 1 })
    for (let i = 0; i < 100; i++) {
      map.set(i, i)
      assert.deepEqual([...map], [[i, i]])
    }
  })
})

describe('a map with a time to live', () => {
  it('has no entry any more whose time is over, whatever is called', async () => {
    const machine = fresh()
    const made = { ...options, hold: true, ttl: 1_000_000, stats: true, cache: 10 }
    const map = machine.map('m', made)
    const set = (): void => {
      map.set(1, 5)
      assert.equal(map.get(1), 5)
      ahead += 900_000
      assert.equal(map.get(1), 5)
      ahead += 200_000
    }
    set()
    assert.equal(map.get(1), undefined)
    assert.equal(map.has(1), false)
    assert.equal(
      map.view(1, () => 1),
      undefined,
    )
    assert.equal(await map.hold(1, () => 1), undefined)
    assert.deepEqual([[...map], [...map.keys()], [...map.values()]], [[], [], []])
    assert.equal(map.delete(1), false)
    assert.equal(map.size, 0)
    set()
    assert.equal(map.take(1), undefined)
    assert.equal(map.compareAndSet(1, 5, 6), false)
    assert.equal(map.compareAndSet(1, undefined, 6), true)
    assert.equal(map.get(1), 6)
    set()
    assert.equal(map.getOrInsert(1, 7), 7)
    set()
    assert.equal(
      map.getOrInsertComputed(1, () => 8),
      8,
    )
    set()
    assert.equal(
      map.update(1, (value) => {
        assert.equal(value, undefined)
        return 9
      }),
      9,
    )
    assert.deepEqual([...map], [[1, 9]])
    map.verify({ quiet: true })
    await map.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('frees their memory while others are set', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('m', { ...options, ttl: 1000 })
    for (let i = 0; i < 2000; i++) map.set(i, i)
    ahead += 1000
    assert.equal(map.size, 2000)
    for (let i = 0; i < 3000; i++) map.set(5000 + (i % 50), i)
    assert.equal(map.size, 50)
    assert.equal(map.report().expirations, 2000)
    map.verify({ quiet: true })
    await map.barrier()
    assert.equal(map.size, [...map].length)
  })

  it('has entries with a time of their own', () => {
    const machine = fresh()
    const map = machine.map('m', { ...options, ttl: 1_000_000 })
    map
      .set(1, 1, { ttl: 100_000 })
      .set(2, 2, { ttl: 2 ** 52 })
      .set(3, 3, {})
    ahead += 200_000
    assert.deepEqual([...map.keys()].sort(), [2, 3])
    ahead += 1_000_000
    assert.deepEqual([...map.keys()], [2])
    ahead += 2 ** 40
    assert.equal(map.get(2), 2)
    for (const ttl of [0, -1, 0.5, NaN, 2 ** 52 + 1, '5', null])
      assert.throws(() => map.set(9, 9, { ttl } as never), ArgumentError, String(ttl))
    assert.throws(() => map.set(9, 9, { life: 1 } as never), ArgumentError)
    assert.throws(() => machine.map('other', options).set(9, 9, { ttl: 5 }), ArgumentError)
    assert.equal(map.has(9), false)
  })

  it('gives entries a time of their own by all that set', () => {
    const map = fresh().map('m', { ...options, ttl: 1_000_000, stats: true })
    const own = { ttl: 5_000_000 }
    map.getOrInsert(1, 1, own)
    map.getOrInsertComputed(2, () => 2, own)
    map.compareAndSet(3, undefined, 3, own)
    map.update(4, () => 4, own)
    map.set(5, 5, own).update(5, () => 6)
    ahead += 2_000_000
    assert.deepEqual([...map.keys()].sort(), [1, 2, 3, 4])
    const { hits, misses } = map.report()
    map.getOrInsert(5, 7)
    assert.deepEqual([map.report().hits, map.report().misses], [hits, misses + 1])
    const wrong = { ttl: 0 }
    for (const call of [
      () => map.getOrInsert(1, 1, wrong),
      () => map.getOrInsertComputed(1, () => 1, wrong),
      () => map.compareAndSet(1, 1, 1, wrong),
      () => map.update(1, () => 1, wrong),
    ])
      assert.throws(call, ArgumentError)
  })

  it('has room again in the next turn when memory was full of what has ended', async () => {
    const machine = fresh({ memory: '2 MiB' })
    const map = machine.map('big', { key: 'i32', value: 'bytes', ttl: 1000 })
    const big = new Uint8Array(5000)
    assert.throws(() => {
      for (let i = 0; ; i++) map.set(i, big)
    }, OutOfMemoryError)
    ahead += 2000
    let failures = 0
    for (let i = 0; i < 2000; i++) {
      try {
        map.set(10_000 + (i % 20), big)
      } catch {
        failures++
        await map.barrier()
      }
    }
    assert.ok(failures < 100, `${failures} failures`)
    map.verify({ quiet: true })
  })

  it('takes what has ended before it evicts', () => {
    const map = fresh().map('m', { ...plain, capacity: 8, ttl: 1000 })
    for (const key of keysOf(0, 4)) map.set(key, 1)
    ahead += 2000
    for (const key of keysOf(0, 16).slice(4, 12)) map.set(key, 2)
    const { evictions, expirations } = map.report()
    assert.deepEqual({ evictions, expirations }, { evictions: 0, expirations: 4 })
  })
})

it('capacity and ttl are the same for all threads, and within their limits', () => {
  const machine = fresh()
  const other = joinAs(machine, 101)
  machine.map('m', { ...options, capacity: 5, ttl: 7 })
  assert.equal(other.map('m', { ...options, capacity: 5, ttl: 7 }).size, 0)
  for (const made of [{}, { capacity: 5 }, { ttl: 7 }, { capacity: 6, ttl: 7 }, { capacity: 5, ttl: 8 }])
    assert.throws(() => other.map('m', { ...options, ...made }), MapMismatchError, JSON.stringify(made))
  for (const made of [
    { capacity: 0 },
    { capacity: 2 ** 31 },
    { capacity: 1.5 },
    { ttl: 0 },
    { ttl: -1 },
    { ttl: '1' },
  ])
    assert.throws(() => other.map('n', { ...options, ...made } as never), ArgumentError, JSON.stringify(made))
})

describe('a thread killed before any access', () => {
  before(muteKilled)
  const keys = keysOf(0, 20)
  const made = { ...plain, capacity: 12, ttl: 1000 }
  const scenes = {
    'evicting an entry': { later: 0, change: (map: ReturnType<typeof mapOf>) => map.set(keys[19] ?? 0, 19) },
    'taking entries out whose time is over': {
      later: 2000,
      change: (map: ReturnType<typeof mapOf>) => {
        for (let i = 0; i < 5; i++) map.set(keys[19] ?? 0, 19)
      },
    },
  }
  const mapOf = (machine: ReturnType<typeof fresh>) => machine.map('m', made)
  for (const [name, { later, change }] of Object.entries(scenes))
    it(`of ${name} has lost no memory, and no other entry`, async () => {
      const sizes = new Set<number>()
      const points = await forEachAccessAsync(async (at) => {
        ahead = 0
        const machine = fresh({ memory: '512 KiB' })
        const victim = joinAs(machine, 101)
        const map = mapOf(machine)
        const dying = mapOf(victim)
        for (const key of keys.slice(0, 12)) dying.set(key, key)
        ahead = later
        const killed = killAt(() => change(dying), at * 3, victim)
        if (killed) {
          bury(victim)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        map.verify({ quiet: true })
        sizes.add(map.size)
        const old = [...map].filter(([key]) => key !== keys[19])
        if (later === 0) assert.ok(old.length >= 11, `access ${at}: ${old.length}`)
        else assert.deepEqual(old, [])
        for (const [key, value] of old) assert.equal(value, key)
        map.set(-1, 1)
        assert.equal(map.get(-1), 1)
        map.clear()
        // An empty overflow block goes with the next entry of its bucket.
        map.set(keys[0] ?? 0, 1).delete(keys[0] ?? 0)
        map.verify({ quiet: true })
        await machine.rcu.barrier()
        machine.heap.verify({ quiet: true })
        const left = machine.heap.allocations().filter(({ size }) => size <= 64)
        assert.deepEqual(left, [], `access ${at}`)
        return killed
      })
      assert.ok(points > 15 && sizes.size > 1, JSON.stringify({ points, sizes: [...sizes] }))
    })
})
