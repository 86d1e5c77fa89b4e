/**
 * The import for foreign code: typed arrays and Atomics that go through the access, and behave as
 * the engine's do.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { types } from 'node:util'
import * as shim from '../../dist/foreign/shim.js'
import { recorded } from './programs.js'

const { Atomics, Int32Array, Uint8Array, DataView, raw, shared } = shim

describe('typed arrays of the shim', () => {
  it('are proxies over shared memory, and the real thing over private memory', () => {
    const words = new Int32Array(new SharedArrayBuffer(8))
    assert.ok(types.isProxy(words))
    assert.ok(words instanceof Int32Array && words instanceof globalThis.Int32Array)
    assert.ok(!types.isProxy(new Int32Array(2)))
    assert.deepEqual(new Int32Array([1, 2]), globalThis.Int32Array.of(1, 2))
    assert.equal(Int32Array.BYTES_PER_ELEMENT, 4)
    assert.ok(types.isTypedArray(raw(words)))
    assert.equal(shared(raw(words)), words)
    assert.equal(raw(5), 5)
  })

  it('are seen, and hand out proxies', async () => {
    const words = new Int32Array(new SharedArrayBuffer(16))
    const accesses = await recorded(() => {
      words[0] = 4
      words[1] = Number(words[1]) + words[0]
      assert.equal(words.fill(6, 2), words)
      assert.ok(types.isProxy(words.subarray(1)))
      assert.equal(words.subarray(1)[0], 4)
      words.forEach((_, __, all) => {
        assert.equal(all, words)
      })
      assert.deepEqual([...words], [4, 4, 6, 6])
      assert.deepEqual(
        { ...Object.getOwnPropertyDescriptor(words, 3) },
        { value: 6, writable: true, enumerable: true, configurable: true },
      )
      Object.defineProperty(words, 3, { value: 9 })
      assert.equal(Reflect.defineProperty(words, 3, { value: 9, writable: false }), false)
    })
    assert.deepEqual(accesses, [
      'store 0 = 4',
      'load 1',
      'load 0',
      'store 1 = 4',
      'store 2 = 6',
      'store 3 = 6',
      'load 0',
      ...['load 0', 'load 1', 'load 2', 'load 3'],
      ...['load 0', 'load 1', 'load 2', 'load 3'],
      'load 3',
      'store 3 = 9',
    ])
    assert.deepEqual([...raw(words)], [4, 4, 6, 9])
  })

  it('copy from each other', () => {
    const buffer = new SharedArrayBuffer(8)
    const bytes = new Uint8Array(buffer)
    bytes.set([1, 2, 3, 4])
    bytes.set(bytes.subarray(0, 4), 1)
    assert.deepEqual([...bytes], [1, 1, 2, 3, 4, 0, 0, 0])
    const own = new Uint8Array(4)
    own.set(bytes.subarray(0, 4))
    assert.deepEqual(own, globalThis.Uint8Array.of(1, 1, 2, 3))
    assert.deepEqual(new Int32Array(bytes), globalThis.Int32Array.of(1, 1, 2, 3, 4, 0, 0, 0))
  })
})

describe('Atomics and DataView of the shim', () => {
  it('take proxies', async () => {
    const words = new Int32Array(new SharedArrayBuffer(8))
    const accesses = await recorded(() => {
      assert.equal(Atomics.add(words, 0, 5), 0)
      assert.equal(Atomics.compareExchange(words, 0, 5, 6), 5)
      assert.equal(Atomics.wait(words, 0, 0), 'not-equal')
      assert.equal(Atomics.notify(words, 0), 0)
      new DataView(words.buffer).setInt16(2, 1)
      assert.throws(() => Atomics.load(words, 2), RangeError)
      assert.equal(Atomics.load(globalThis.Int32Array.of(8), 0), 8)
    })
    assert.deepEqual(accesses, [
      'add 0 5',
      'compareExchange 0 5 6',
      'wait 0 0 Infinity',
      'notify 0 Infinity',
      'setInt16 2 1 false',
    ])
  })
})
