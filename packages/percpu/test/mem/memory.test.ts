import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  copyIn,
  copyOut,
  createBuffer,
  fillBytes,
  load32,
  loadAtomicU64,
  loadU8,
  loadU64,
  openMemory,
  poisonMemory,
  storeAtomicU64,
  storeU8,
} from 'percpu/mem'
import { allOperations } from './support/operations.js'

const GiB = 2 ** 30

test('a memory has its buffer and length', () => {
  const buffer = createBuffer(64)
  assert.ok(buffer instanceof SharedArrayBuffer)
  const memory = openMemory(buffer)
  assert.equal(memory.buffer, buffer)
  assert.equal(memory.byteLength, 64)
})

test('a memory whose length is not a multiple of 8 is refused', () => {
  for (const length of [1, 4, 12, 63]) assert.throws(() => openMemory(createBuffer(length)), RangeError)
})

test('two memories of one buffer see the same words', () => {
  const buffer = createBuffer(16)
  storeAtomicU64(openMemory(buffer).u64, 1, 0x0102030405060708n)
  assert.equal(loadU8(openMemory(buffer).bytes, 8), 8)
})

test('an 8 GiB memory is addressable to its last word in every view', () => {
  const memory = openMemory(createBuffer(8 * GiB))
  for (const { name, size, step, run } of allOperations) {
    const last = (8 * GiB - size) / step
    fillBytes(memory, 8 * GiB - 16, 16, 0)
    run(memory, last)
    const changed = copyOut(memory, 8 * GiB - 16, 16).some((byte) => byte !== 0)
    const mayChange = !/^(load|and|compareExchange)/.test(name)
    assert.equal(changed, mayChange, name)
  }
  fillBytes(memory, 8 * GiB - 8, 8, 0xff)
  assert.equal(load32(memory.i32, 2 ** 31 - 1), -1)
  assert.equal(loadAtomicU64(memory.u64, GiB - 1), 2n ** 64n - 1n)
  assert.equal(loadU64(memory.u64, GiB - 2), 0n)
  storeU8(memory.bytes, 8 * GiB - 1, 7)
  assert.equal(loadU8(memory.bytes, 8 * GiB - 1), 7)
  assert.throws(() => loadU8(memory.bytes, 8 * GiB), RangeError)
})

test('ranges: filled, copied in and copied out as in a private array', () => {
  const memory = openMemory(createBuffer(64))
  const bytes = fc.uint8Array({ maxLength: 64 })
  const range = fc.tuple(fc.nat(64), fc.nat(64)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  fc.assert(
    fc.property(bytes, range, fc.nat(255), range, (content, [from, to], value, [start, end]) => {
      const expected = new Uint8Array(64)
      fillBytes(memory, 0, 64, 0)
      expected.set(content, 64 - content.length)
      copyIn(memory, 64 - content.length, content)
      expected.fill(value, from, to)
      fillBytes(memory, from, to - from, value)
      assert.deepEqual(copyOut(memory, 0, 64), expected)
      assert.deepEqual(copyOut(memory, start, end - start), expected.slice(start, end))
    }),
  )
})

test('copyOut gives private bytes that later writes do not change', () => {
  const memory = openMemory(createBuffer(8))
  const copy = copyOut(memory, 0, 8)
  fillBytes(memory, 0, 8, 1)
  assert.ok(copy.buffer instanceof ArrayBuffer)
  assert.deepEqual(copy, new Uint8Array(8))
})

test('ranges outside the memory throw and write nothing', () => {
  const memory = openMemory(createBuffer(16))
  for (const [address, length] of [
    [8, 9],
    [17, 0],
    [-1, 1],
  ] as const) {
    assert.throws(() => copyOut(memory, address, length), RangeError)
    assert.throws(() => fillBytes(memory, address, length, 1), RangeError)
    assert.throws(() => copyIn(memory, address, new Uint8Array(length).fill(1)), RangeError)
  }
  assert.deepEqual(copyOut(memory, 0, 16), new Uint8Array(16))
})

class Poisoned extends Error {}

test('a poisoned memory throws on every use, and nothing is written', () => {
  const buffer = createBuffer(64)
  const memory = openMemory(buffer)
  poisonMemory(memory, () => new Poisoned())
  for (const { name, run } of allOperations) assert.throws(() => run(memory, 0), Poisoned, name)
  assert.throws(() => fillBytes(memory, 0, 8, 1), Poisoned)
  assert.throws(() => copyIn(memory, 0, new Uint8Array(8).fill(1)), Poisoned)
  assert.throws(() => copyOut(memory, 0, 8), Poisoned)
  assert.throws(() => memory.buffer, Poisoned)
  assert.deepEqual(copyOut(openMemory(buffer), 0, 64), new Uint8Array(64))
})

test('each use of a poisoned memory makes an error of its own', () => {
  const memory = openMemory(createBuffer(8))
  let made = 0
  poisonMemory(memory, () => new Poisoned(String(++made)))
  assert.throws(() => memory.i32, { message: '1' })
  assert.throws(() => memory.f64, { message: '2' })
})

test('poison stays', () => {
  const memory = openMemory(createBuffer(8))
  poisonMemory(memory, () => new Poisoned())
  assert.throws(() => Object.defineProperty(memory, 'i32', { value: 0 }), TypeError)
  assert.throws(() => Object.assign(memory, { i32: 0 }), TypeError)
  assert.throws(() => memory.i32, Poisoned)
})

test('poisoning one thread’s views leaves another memory of the same buffer alone', () => {
  const buffer = createBuffer(8)
  const [mine, other] = [openMemory(buffer), openMemory(buffer)]
  poisonMemory(mine, () => new Poisoned())
  storeU8(other.bytes, 0, 3)
  assert.equal(loadU8(other.bytes, 0), 3)
})
