/** Maps with a capacity in bytes: values of any sizes make room for each other. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, SharedMap } from 'percpu'
import { fresh, joinAs, killAtAccess, mem, percpu } from '../support/hooked-percpu.js'
import { bury, muteKilled } from './support/victims.js'

const { ArgumentError, EntryTooLargeError, MapMismatchError, OutOfMemoryError } = percpu
/** The same buckets in each run. */
const kinds = { key: 'u32', value: 'bytes', seed: 7 } as const
const KIB = 1024

type Cache = SharedMap<number, Uint8Array>
const open = (machine: Machine, bytes: number | string): Cache =>
  machine.map('m', { ...kinds, capacity: { bytes } }) as unknown as Cache
const bytesOf = (map: Cache): number => map.report().entryBytes ?? NaN

describe('a map with a capacity in bytes', () => {
  it('never has more, whatever the sizes of its values, and has what was set last', async () => {
    const machine = fresh({ memory: '4 MiB' })
    const other = joinAs(machine, 101)
    const maps = [open(machine, '64 KiB'), open(other, 64 * KIB)]
    for (let i = 0; i < 2000; i++) {
      const size = [10, 100, 5000, 1, 700, 30_000][i % 6] ?? 0
      const map = maps[i & 1] as Cache
      map.set(i % 301, new Uint8Array(size).fill(i))
      assert.deepEqual(map.get(i % 301)?.length, size)
      assert.ok(bytesOf(map) <= 64 * KIB, `${bytesOf(map)} bytes after ${i}`)
      if (i % 20 === 0) await machine.rcu.barrier()
    }
    assert.ok(bytesOf(open(machine, '64 KiB')) > 30 * KIB)
    maps[0]?.verify({ quiet: true })
    for (const key of [...(maps[0] as Cache).keys()]) maps[1]?.delete(key)
    assert.equal(bytesOf(maps[0] as Cache), 0)
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
    await other.offline()
  })

  it('takes out as many small ones as a large one takes, of those that nobody has looked up', () => {
    const machine = fresh({ memory: '4 MiB' })
    const map = open(machine, '32 KiB')
    for (let i = 0; i < 1000; i++) map.set(i, new Uint8Array(40))
    const all = map.size
    const hot = [...map.keys()].slice(0, 3)
    for (const key of hot) map.get(key)
    map.set(5000, new Uint8Array(16_000))
    assert.ok(map.size < all - 100 && map.size > 100, `${map.size} of ${all}`)
    for (const key of hot) assert.ok(map.has(key))
    // It grows in its place, too.
    map.set(5000, new Uint8Array(30_000))
    assert.ok(bytesOf(map) <= 32 * KIB)
    assert.equal(map.get(5000)?.length, 30_000)
    map.verify({ quiet: true })
  })

  it('refuses what is larger than all of it, and changes nothing', async () => {
    const machine = fresh()
    const map = open(machine, '4 KiB').set(1, new Uint8Array(100))
    const { entryBytes } = map.report()
    assert.throws(() => map.set(1, new Uint8Array(5000)), EntryTooLargeError)
    assert.equal(map.get(1)?.length, 100)
    assert.equal(bytesOf(map), entryBytes)
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('may have a capacity in entries as well, of which all threads say the same', () => {
    const machine = fresh()
    const capacity = { entries: 10, bytes: '8 KiB' } as const
    const map = machine.map('m', { ...kinds, capacity }) as unknown as Cache
    for (let i = 0; i < 100; i++) {
      map.set(i, new Uint8Array(i % 20 === 0 ? 4000 : 10))
      assert.ok(map.size <= 10 && bytesOf(map) <= 8 * KIB)
    }
    assert.equal(machine.map('m', { ...kinds, capacity: { ...capacity } }), map)
    for (const other of [10, { entries: 10 }, { bytes: '8 KiB' }, { entries: 10, bytes: 8200 }, undefined])
      assert.throws(() => machine.map('m', { ...kinds, capacity: other as number }), MapMismatchError)
    for (const wrong of [{}, { bytes: 10 }, { bytes: '9 GiB' }, { entries: 0 }, { size: 5 }, null, 'all'])
      assert.throws(() => machine.map('n', { ...kinds, capacity: wrong as never }), ArgumentError)
    assert.equal(machine.map('o', { ...kinds, capacity: 5 }).report().entryBytes, undefined)
  })

  it('gives room for one that is larger than those that are there, with memory full', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const cache = machine.map('m', { ...kinds, capacity: 1_000_000 })
    const fill = (): void => {
      for (let i = 0; ; i++) cache.set(i, new Uint8Array(50))
    }
    assert.throws(fill, OutOfMemoryError)
    const large = new Uint8Array(200_000)
    let turns = 0
    // As in docs/collections.md.
    for (let count = 1000; ; count *= 2)
      try {
        cache.set(1_000_000, large)
        break
      } catch (error) {
        if ((error as { code?: string }).code !== 'PERCPU_OUT_OF_MEMORY' || cache.evict(count) === 0)
          throw error
        await cache.barrier()
        machine.heap.trim()
        turns++
      }
    assert.ok(turns > 0)
    assert.equal(cache.get(1_000_000)?.length, 200_000)
    cache.verify({ quiet: true })
  })
})

describe('a thread killed before any of the last accesses of setting an entry', () => {
  before(muteKilled)
  /** Full: a larger value takes out another one. */
  const prepare = (): { machine: Machine; victim: Machine; map: Cache; change: () => unknown } => {
    const machine = fresh({ memory: '640 KiB' })
    const victim = joinAs(machine, 101)
    const map = open(machine, '4 KiB')
    const dying = open(victim, '4 KiB')
    for (let i = 0; i < 4; i++) dying.set(i, new Uint8Array(900))
    return { machine, victim, map, change: () => dying.set(1, new Uint8Array(1500)) }
  }
  it('has counted the bytes of what it has done', () => {
    let accesses = 0
    const { change } = prepare()
    mem.control.before = () => accesses++
    change()
    mem.control.before = undefined
    const sizes = new Set<number>()
    for (let left = 100; left > 0; left--) {
      const { machine, victim, map, change } = prepare()
      assert.ok(killAtAccess(change, accesses - left, victim))
      bury(victim)
      machine.cpus.declareDead(1)
      map.verify({ quiet: true })
      sizes.add(bytesOf(map))
    }
    assert.ok(sizes.size > 1, [...sizes].join())
  })
})
