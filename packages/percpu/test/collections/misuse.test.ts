/** Calls in the middle of calls, promises, options that are getters, and what logs make of maps. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError, i32, OutOfMemoryError, struct } from 'percpu'
import { fresh } from '../support/machines.js'

const Pair = struct('Pair', { a: i32, b: i32 })

describe('reading a value that is set', () => {
  it('may look up and receive others of the same struct', () => {
    const machine = fresh()
    const map = machine.map('m', { key: 'string', value: Pair })
    const ring = machine.ring('r', { value: Pair })
    map.set('x', { a: 1, b: 2 })
    ring.trySend({ a: 3, b: 4 })
    const seen: unknown[] = []
    const value = {
      a: 10,
      get b() {
        seen.push(map.get('x'), ring.tryReceive())
        return 20
      },
    }
    map.set('y', value)
    ring.trySend(value)
    assert.deepEqual(
      [map.get('y'), ring.tryReceive()],
      [
        { a: 10, b: 20 },
        { a: 10, b: 20 },
      ],
    )
    assert.deepEqual(seen.slice(0, 2), [
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ])
  })

  it('may not set the very entry again and again', () => {
    const map = fresh().map('m', { key: 'string', value: 'json' })
    map.set('k', 0)
    let number = 0
    const value = {
      toJSON() {
        map.set('k', 0)
        return ++number
      },
    }
    assert.throws(() => map.compareAndSet('k', 0, value), ArgumentError)
    assert.equal(map.get('k'), 0)
    const fickle = {
      toJSON() {
        map.set('new', 1).delete('new')
        return ++number
      },
    }
    assert.equal(map.getOrInsert('new', fickle), fickle)
  })

  it('takes no promise for a value', () => {
    const machine = fresh()
    const map = machine.map('m', { key: 'string', value: 'json' })
    const ring = machine.ring('r', { value: 'json' })
    const later = Promise.resolve(1)
    for (const call of [
      () => map.set('k', later),
      () => map.update('k', async () => Promise.resolve(1)),
      () => map.getOrInsert('k', later),
      () => map.getOrInsertComputed('k', async () => Promise.resolve(1)),
      () => map.compareAndSet('k', undefined, later),
      () => ring.trySend(later),
    ])
      assert.throws(call, /it is a promise|a promise: await it first/)
    assert.equal(map.size, 0)
    assert.equal(ring.length, 0)
  })
})

it('options that are getters are checked as they are stored', () => {
  const machine = fresh()
  for (const good of [1, 2, 3]) {
    let reads = 0
    const options = {
      key: 'i32',
      value: 'i32',
      get capacity() {
        return ++reads > good ? -3 : 5
      },
    } as const
    try {
      const map = machine.map(`m${good}`, options)
      map.set(1, 1)
      assert.equal(map.get(1), 1)
    } catch (error) {
      assert.ok(error instanceof ArgumentError)
    }
    assert.ok(reads <= 2, `${reads} reads`)
  }
})

it('a log has the name and the size of maps', () => {
  const machine = fresh()
  const map = machine.map('m', { key: 'i32', value: 'i32' }).set(1, 1)
  const ranges = machine.rangeMap('r', { key: 'u32', value: 'i32' }).set(1, 2, 3)
  assert.equal(
    JSON.stringify({ map, ranges }),
    '{"map":{"name":"m","size":1},"ranges":{"name":"r","size":1}}',
  )
})

it('rings and maps of ranges can be made when the heap was full once', async () => {
  const machine = fresh({ memory: '2 MiB' })
  const map = machine.map('m', { key: 'i32', value: 'bytes' })
  assert.throws(() => {
    for (let i = 0; ; i++) map.set(i, new Uint8Array(5000))
  }, OutOfMemoryError)
  map.clear()
  await map.barrier()
  assert.equal(machine.ring('r', { value: 'i32', bytes: 100 }).trySend(1), true)
  machine.rangeMap('ranges', { key: 'u32', value: 'i32' }).set(1, 2, 3)
})
