/** Values that a thread keeps decoded: the same object until another one is set, by whomever. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError, type SharedMap } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'
import { randomFrom } from '../support/random.js'
import { aboutToMerge, keysOf, SEED } from './support/buckets.js'

type Values = SharedMap<number, unknown>
const made = { key: 'i32', value: 'json', seed: SEED } as const

function prepare(cache: number): { machine: ReturnType<typeof fresh>; map: Values; other: Values } {
  const machine = fresh({ memory: '4 MiB', cpus: 2 })
  const map = machine.map('m', { ...made, cache })
  const other = joinAs(machine, 101).map('m', { key: 'i32', value: 'json' })
  return { machine, map, other }
}

describe('a value that is kept', () => {
  it('is the same object until the key is set again', () => {
    const { map, other } = prepare(10)
    map.set(1, { a: 1 })
    const first = map.get(1)
    assert.deepEqual(first, { a: 1 })
    assert.equal(map.get(1), first)
    other.set(2, 2)
    assert.equal(map.get(1), first)
    assert.notEqual(other.get(1), other.get(1))
    other.set(1, { a: 1 })
    assert.notEqual(map.get(1), first)
    other.set(1, { a: 2 })
    assert.deepEqual(map.get(1), { a: 2 })
    other.delete(1)
    assert.equal(map.get(1), undefined)
  })

  it('is not given to who takes the entry, who may change it', () => {
    const { map } = prepare(10)
    map.set(1, { a: 1 })
    const kept = map.get(1)
    const taken = map.take(1)
    assert.deepEqual(taken, { a: 1 })
    assert.notEqual(taken, kept)
    assert.deepEqual([map.get(1), map.take(1)], [undefined, undefined])
  })

  it('is never an old one, however addresses are used again and buckets split', async () => {
    const { machine, map, other } = prepare(50)
    const random = randomFrom(5)
    const model = new Map<number, number>()
    let writes = 0
    for (let turn = 0; turn < 60; turn++) {
      for (let i = 0; i < 60; i++) {
        const key = random(80)
        if (random(3) === 0) {
          assert.equal(other.delete(key), model.delete(key))
        } else {
          other.set(key, ++writes)
          model.set(key, writes)
        }
        const seen = random(80)
        assert.equal(map.get(seen), model.get(seen))
      }
      if (turn % 10 === 0) other.load([], { sizeHint: turn * 10 })
      // Entries are freed, and their addresses used again.
      await machine.rcu.barrier()
    }
    map.verify({ quiet: true })
  })

  it('may be in an overflow block, but not far behind', () => {
    const { map } = prepare(50)
    const keys = keysOf(0, 23)
    for (const key of keys) map.set(key, [key])
    for (const key of keys) assert.deepEqual(map.get(key), [key])
    const same = keys.filter((key) => map.get(key) === map.get(key))
    assert.equal(same.length, 22)
    // The first overflow block goes, and what was in the next one is there still.
    for (const key of keys.slice(11, 22)) assert.ok(map.delete(key))
    for (const key of keys.slice(0, 11)) assert.deepEqual(map.get(key), [key])
    for (const key of keys.slice(11, 22)) assert.equal(map.get(key), undefined)
    assert.deepEqual(map.get(keys[22] ?? 0), keys.slice(22))
  })

  for (const hold of [false, true])
    it(`is not taken from what was a bucket, and is memory of others now: hold ${hold}`, async () => {
      const machine = fresh({ memory: '4 MiB', cpus: 2 })
      const map: Values = machine.map('m', { ...made, hold, cache: 50 })
      const user = joinAs(machine, 101)
      const other: Values = user.map('m', { key: 'i32', value: 'json', hold })
      const [key = 0] = keysOf(8, 1, 16)
      const [own = 0] = keysOf(3, 1)
      map.load([], { sizeHint: 63 })
      map.set(key, 'old')
      assert.equal(map.get(key), 'old')
      const block = machine.heap.allocations().find(({ size }) => size === 512)?.address ?? 0
      const words = new Int32Array(machine.handle.buffer, block, 128)
      const image = words.slice()
      aboutToMerge(other, own)
      assert.ok(other.delete(own))
      assert.equal(map.report().buckets, 8)
      for (let i = 0; i < 3; i++) await other.barrier()
      let isTaken = false
      for (let i = 0; i < 8; i++) isTaken ||= user.heap.alloc(512) === block
      assert.ok(isTaken)
      words.set(image)
      other.set(key, 'new')
      assert.equal(map.get(key), 'new')
    })

  it('is one of so many', () => {
    const { map } = prepare(2)
    for (const key of [1, 2, 3]) map.set(key, [key])
    const [one] = [map.get(1), map.get(2), map.get(3)]
    assert.deepEqual(map.get(1), one)
    assert.notEqual(map.get(1), one)
  })

  it('is one of as many as the thread has said first', () => {
    const { machine, map } = prepare(2)
    assert.equal(machine.map('m', made), map)
    assert.equal(machine.map('m', { ...made, cache: 2, stats: false }), map)
    const wrong = { code: 'PERCPU_ARGUMENT', message: /has opened the map 'm' with / }
    assert.throws(() => machine.map('m', { ...made, cache: 3 }), wrong)
    assert.throws(() => machine.map('m', { ...made, stats: true }), wrong)
  })

  it('has a key that a Map can tell', () => {
    const machine = fresh()
    assert.throws(() => machine.map('b', { key: 'bytes', value: 'i32', cache: 5 }), ArgumentError)
    assert.throws(() => machine.map('i', { key: 'i32', value: 'i32', cache: -1 }), ArgumentError)
    machine.map('b', { key: 'bytes', value: 'i32', cache: 0 }).set(Uint8Array.of(1), 1)
  })
})
