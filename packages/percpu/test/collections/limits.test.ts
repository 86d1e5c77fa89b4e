/** What a map refuses, and what happens when memory is full: nothing is changed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import {
  ArgumentError,
  EntryTooLargeError,
  MapMismatchError,
  OfflineError,
  OutOfMemoryError,
  struct,
  i32,
  text,
  type MapKeyKind,
  type MapValueKind,
  type SharedMap,
} from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const wrongKeys: Readonly<Record<MapKeyKind, readonly unknown[]>> = {
  string: [undefined, null, 5, Symbol('s'), Object('boxed'), []],
  bytes: ['text', [1, 2], new Int8Array(2), new ArrayBuffer(2), null],
  i32: [1.5, 2 ** 31, '1', 1n, NaN, undefined],
  u32: [-1, 2 ** 32, 0.5, '1', NaN],
  u53: [-1, 2 ** 53, 0.5, 5n, '7', NaN],
  u64: [-1n, 2n ** 64n, 5, '7'],
}
const wrongValues: Readonly<Record<MapValueKind, readonly unknown[]>> = {
  ...wrongKeys,
  json: [undefined, () => 1, Symbol('s'), 5n, NaN, Infinity],
  f64: ['1', 1n, null, undefined],
}
delete (wrongValues as Partial<Record<string, unknown>>)['u53']

describe('a map refuses', () => {
  it('what is no key or value', () => {
    const machine = fresh()
    for (const [key, wrong] of Object.entries(wrongKeys)) {
      const map = machine.map(`keys ${key}`, { key: key as MapKeyKind, value: 'i32' }) as SharedMap<
        unknown,
        number
      >
      for (const each of wrong) {
        const calls = [
          () => map.get(each),
          () => map.has(each),
          () => map.set(each, 1),
          () => map.delete(each),
          () => map.take(each),
          () => map.update(each, () => 1),
          () => map.getOrInsert(each, 1),
          () => map.compareAndSet(each, undefined, 1),
        ]
        for (const call of calls) assert.throws(call, ArgumentError, `${key}: ${String(each)}`)
      }
      assert.equal(map.size, 0)
    }
    for (const [value, wrong] of Object.entries(wrongValues)) {
      const map: SharedMap<number, unknown> = machine.map<'i32', MapValueKind>(`values ${value}`, {
        key: 'i32',
        value: value as MapValueKind,
      })
      for (const each of wrong) {
        assert.throws(() => map.set(1, each), ArgumentError, `${value}: ${String(each)}`)
        assert.throws(() => map.getOrInsert(1, each), ArgumentError)
      }
      assert.equal(map.size, 0)
      map.verify({ quiet: true })
    }
  })

  it('keys and values that are too long', () => {
    const machine = fresh({ memory: '8 MiB' })
    const map = machine.map('m', { key: 'string', value: 'bytes' })
    const most = new Uint8Array(2 ** 20 - 1)
    map.set('k'.repeat(4095), most)
    assert.equal(map.get('k'.repeat(4095))?.length, most.length)
    for (const key of ['k'.repeat(4096), 'é'.repeat(2048), '\ud800'.repeat(1366)]) {
      assert.throws(() => map.set(key, most), EntryTooLargeError)
      assert.throws(() => map.get(key), EntryTooLargeError)
    }
    assert.throws(() => map.set('k', new Uint8Array(2 ** 20)), EntryTooLargeError)
    // A log has the beginning of it.
    assert.throws(
      () => map.set('k'.repeat(1e6), most),
      (error: Error) =>
        /^the key 'k{64}… \(1000000 characters\)' has more/.test(error.message) &&
        inspect(error).length < 5000,
    )
    assert.equal(map.size, 1)
  })

  it('to be opened as another one', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const Named = struct('Named', { x: i32 })
    machine.objects.create('object', Named)
    machine.map('m', { key: 'string', value: 'i32' })
    for (const one of [machine, other]) {
      assert.throws(() => one.map('m', { key: 'bytes', value: 'i32' }), MapMismatchError)
      assert.throws(() => one.map('m', { key: 'string', value: 'u32' }), MapMismatchError)
      // Names of maps are no names of objects, and none belongs to the library.
      assert.equal(one.map('object', { key: 'string', value: 'u32' }).size, 0)
      assert.equal(one.map('percpu.m', { key: 'string', value: 'u32' }).size, 0)
      assert.throws(() => one.map('n', { key: 'text', value: 'u32' } as never), ArgumentError)
      assert.throws(() => one.map('n', { key: 'string' } as never), ArgumentError)
      assert.throws(() => one.map('n', undefined as never), ArgumentError)
      assert.throws(() => one.map('m', { key: 'string', value: 'i32', capacity: 5 }), {
        message: "the map 'm' was made without capacity, not with capacity: 5",
      })
    }
    assert.equal(
      machine.map('m', { key: 'string', value: 'i32' }),
      machine.map('m', { key: 'string', value: 'i32' }),
    )
  })

  it('a struct without its text, as no string', () => {
    const Titled = struct('Titled', { title: text(8) })
    const map = fresh().map('m', { key: 'i32', value: Titled })
    assert.throws(() => map.set(1, {} as never), { message: 'value.title: undefined is not a string' })
    assert.throws(() => map.set(1, { title: '\ud800' }), { message: /half a surrogate pair/ })
    assert.equal(map.size, 0)
  })

  it('everything once its thread has left', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const map = other.map('m', { key: 'i32', value: 'i32' })
    map.set(1, 1)
    const going = map.keys()
    await other.offline()
    const calls = [
      () => map.get(1),
      () => map.set(1, 2),
      () => map.delete(1),
      () => map.take(1),
      () => map.size,
      () => map.entries(),
      () => going.next(),
      () => map.clear(),
      () => map.report(),
    ]
    for (const call of calls) assert.throws(call, OfflineError, String(call))
    assert.equal(machine.map('m', { key: 'i32', value: 'i32' }).get(1), 1)
  })

  it('a change that changes the entry itself', () => {
    const map = fresh().map('m', { key: 'string', value: 'i32' })
    map.set('a', 1)
    assert.throws(() => map.update('a', () => (map.set('a', 2), 3)), ArgumentError)
    assert.equal(map.get('a'), 2)
    // Another entry may be changed.
    map.update('a', (old = 0) => (map.set('b', 5), old + 1))
    assert.deepEqual([map.get('a'), map.get('b')], [3, 5])
  })

  it('a value whose encoding throws, and is not confused by one that uses the map', () => {
    const map = fresh().map('m', { key: 'string', value: 'json' })
    const error = new Error('no')
    const throwing = {
      toJSON() {
        throw error
      },
    }
    assert.throws(
      () => map.set('a', throwing),
      (thrown: Error) => thrown instanceof ArgumentError && thrown.cause === error,
    )
    map.set('long key of the other one', 1)
    map.set('a', { toJSON: () => [map.get('long key of the other one'), map.set('c', 3).size] })
    assert.deepEqual(map.get('a'), [1, 2])
    assert.equal(map.size, 3)
    map.verify({ quiet: true })
  })
})

describe('a map in a memory that is full', () => {
  it('throws and changes nothing, deletes, and goes on when something is free', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.map('m', { key: 'u32', value: 'bytes' })
    const value = new Uint8Array(200)
    let stored = 0
    for (; ; stored++) {
      const { size } = map
      try {
        map.set(stored, value)
      } catch (error) {
        assert.ok(error instanceof OutOfMemoryError)
        assert.equal(map.size, size)
        break
      }
    }
    assert.ok(stored > 1000)
    assert.throws(() => map.set(0, value), OutOfMemoryError)
    assert.throws(() => map.update(0, () => value), OutOfMemoryError)
    map.verify({ quiet: true })
    for (let key = 0; key < stored; key++) assert.equal(map.get(key)?.length, 200)
    for (let key = 0; key < stored; key += 2) assert.ok(map.delete(key))
    await machine.rcu.barrier()
    for (let key = 0; key < stored; key += 4) map.set(key, value)
    map.verify({ quiet: true })
    machine.heap.verify({ quiet: true })
  })

  it('makes no room for more than it holds', () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.map('m', { key: 'u32', value: 'i32' })
    assert.throws(() => map.load([[1, 1]], { sizeHint: 2 ** 31 }), OutOfMemoryError)
    assert.equal(map.size, 0)
    map.load([[1, 1]], { sizeHint: 5000 })
    assert.equal(map.get(1), 1)
    assert.ok(map.report().buckets > 700)
    map.verify({ quiet: true })
  })
})
