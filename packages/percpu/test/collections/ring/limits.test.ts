/** What a ring refuses; nothing is changed then. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  ArgumentError,
  EntryTooLargeError,
  atomic,
  flexible,
  i32,
  OfflineError,
  OutOfMemoryError,
  RingClosedError,
  RingCorruptionError,
  RingMismatchError,
  struct,
  u32,
  type MapValueKind,
  type SharedRing,
} from 'percpu'
import { load32, store32 } from 'percpu/mem'
import { fresh, joinAs } from '../../support/machines.js'

const { useOfRing } = await import('../../../dist/collections/ring/report.js')

const wrong: Readonly<Record<MapValueKind, readonly unknown[]>> = {
  string: [undefined, null, 5, Symbol('s'), Object('boxed'), []],
  bytes: ['text', [1, 2], new Int8Array(2), new ArrayBuffer(2), null],
  json: [undefined, () => 1, Symbol('s'), 5n],
  i32: [1.5, 2 ** 31, '1', 1n, NaN, undefined],
  u32: [-1, 2 ** 32, 0.5, '1', NaN],
  f64: ['1', 1n, null, undefined],
  u64: [-1n, 2n ** 64n, 5, '7'],
}
const Pair = struct('Pair', { a: i32, b: i32 })
const Other = struct('Other', { a: i32, b: u32 })
const codeOf = (code: string) => (error: { readonly code?: string }) => error.code === code

it('a ring of a power of two takes just so much memory', () => {
  const machine = fresh({ memory: '32 MiB' })
  // The table of names grows before.
  for (let i = 0; i < 64; i++) machine.ring(`before ${i}`, { bytes: 16 })
  const taken = () => {
    machine.heap.trim()
    return machine.heap.report().zones.reduce((sum, { total, free }) => sum + total - free, 0)
  }
  for (let bytes = 4096; bytes <= 2 ** 22; bytes *= 2) {
    const before = taken()
    const ring = machine.ring(`as long as names may be, ${bytes}`.padEnd(56, '.'), { bytes })
    assert.equal(taken() - before, bytes)
    assert.equal(ring.capacity, bytes - 512)
    assert.equal(machine.ring(ring.name, { bytes }), ring)
  }
  // Where there is room behind them, messages have all that was asked for.
  for (const bytes of [16, 1024, 3000, 4000, 100_000, 2 ** 22 + 4])
    assert.equal(machine.ring(`of ${bytes}`, { bytes }).capacity, bytes)
  assert.equal(machine.ring('default').capacity, 65_024)
})

describe('a ring refuses', () => {
  it('what is no message', async () => {
    const machine = fresh()
    for (const [value, all] of Object.entries(wrong)) {
      const ring = machine.ring<MapValueKind>(value, { value: value as MapValueKind })
      for (const message of all) {
        const shown = `${value}: ${String(message)}`
        assert.throws(() => ring.trySend(message), ArgumentError, shown)
        assert.throws(() => ring.send(message), ArgumentError, shown)
        await assert.rejects(ring.sendAsync(message), ArgumentError, shown)
      }
      assert.equal(ring.length, 0)
      assert.equal(ring.report().free, ring.capacity)
    }
    const ring = machine.ring('pairs', { value: Pair }) as unknown as SharedRing<unknown>
    for (const message of [undefined, null, { a: 1 }, { a: 1, b: 0.5 }, { a: 1, b: 2 ** 31 }])
      assert.throws(() => ring.trySend(message), ArgumentError)
    const error = new Error('no')
    const fail = {
      a: 1,
      get b(): never {
        throw error
      },
    }
    assert.throws(() => ring.trySend(fail), { code: 'PERCPU_ARGUMENT', cause: error })
    assert.equal(ring.length, 0)
  })

  it('a message that it can never hold', async () => {
    const machine = fresh({ memory: '8 MiB' })
    const small = machine.ring('small', { bytes: 16 })
    assert.equal(small.capacity, 16)
    for (const length of [13, 100]) {
      const message = new Uint8Array(length)
      assert.throws(() => small.trySend(message), EntryTooLargeError)
      assert.throws(() => small.send(message), EntryTooLargeError)
      await assert.rejects(small.sendAsync(message), EntryTooLargeError)
    }
    assert.ok(small.trySend(new Uint8Array(12)))
    assert.equal(small.trySend(new Uint8Array(0)), false)
    const large = machine.ring('large', { bytes: '2 MiB' })
    const most = new Uint8Array(2 ** 20 - 1).map((_, i) => i)
    large.trySend(most)
    assert.deepEqual(large.tryReceive(), most)
    assert.throws(() => large.trySend(new Uint8Array(2 ** 20)), EntryTooLargeError)
    assert.throws(() => machine.ring('word', { value: 'f64', bytes: 16 }).receiveMany(0), ArgumentError)
  })

  it('to be opened as another one', () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    machine.map('r', { key: 'i32', value: 'i32' })
    const ring = machine.ring('r', { value: 'i32', bytes: 100 })
    const pairs = machine.ring('pairs', { value: Pair })
    for (const one of [machine, other]) {
      assert.throws(() => one.ring('r'), RingMismatchError)
      assert.throws(() => one.ring('r', { value: 'u32' }), RingMismatchError)
      assert.throws(() => one.ring('r', { value: Pair }), RingMismatchError)
      assert.throws(() => one.ring('r', { value: 'i32', bytes: 104 }), RingMismatchError)
      assert.throws(() => one.ring('pairs', { value: Other }), /another struct than Other/)
      assert.throws(() => one.ring('pairs', { value: 'i32' }), RingMismatchError)
      // Sizes are rounded up to words; without one, any is right.
      assert.equal(one.ring('r', { value: 'i32', bytes: 99 }), one.ring('r', { value: 'i32' }))
      for (const options of [
        { value: 'text' },
        { bytes: 15 },
        { bytes: 2 ** 30 + 1 },
        { bytes: '1 MB' },
        null,
        5,
      ])
        assert.throws(() => one.ring('n', options as never), ArgumentError, JSON.stringify(options))
      assert.throws(() => one.ring('n', { size: 5 } as never), ArgumentError)
    }
    const Long = struct('Long', { rest: flexible(i32) })
    assert.throws(() => machine.ring('n', { value: Long }), ArgumentError)
    const Counted = struct('Counted', { count: atomic(i32) })
    assert.throws(() => machine.ring('n', { value: Counted }), ArgumentError)
    assert.equal(machine.ring('r', { value: 'i32' }), ring)
    pairs.trySend({ a: 0, b: 7 })
    assert.deepEqual(other.ring('pairs', { value: Pair }).tryReceive(), { a: 0, b: 7 })
    assert.throws(() => machine.ring('huge', { bytes: '512 MiB' }), OutOfMemoryError)
    // The name is free.
    assert.equal(machine.ring('huge', { bytes: 16 }).capacity, 16)
  })

  it('to be sent to once it is closed, and gives what is there', async () => {
    const machine = fresh()
    const ring = machine.ring('r', { value: 'i32', bytes: 16 })
    const other = joinAs(machine, 101).ring('r', { value: 'i32' })
    ring.trySend(1)
    ring.trySend(2)
    other.close()
    other.close()
    assert.deepEqual([ring.isClosed, ring.isEnded, ring.length], [true, false, 2])
    for (const one of [ring, other]) {
      // Whether or not there is room.
      assert.throws(() => one.trySend(3), RingClosedError)
      assert.throws(() => one.trySend(3), { message: /^the ring \S+ is closed/, details: { name: one.name } })
      assert.throws(() => one.send(3), RingClosedError)
      await assert.rejects(one.sendAsync(3), RingClosedError)
      one.tryReceive()
    }
    assert.deepEqual(
      [ring.isEnded, ring.length, ring.tryReceive(), ring.receive()],
      [true, 0, undefined, undefined],
    )
    assert.equal(await other.receiveAsync(), undefined)
    for await (const message of other) assert.fail(String(message))
    assert.deepEqual(ring.receiveMany(5), [])
    ring.verify()
  })

  it('to lose its name unless it is closed and empty', () => {
    const machine = fresh()
    const ring = machine.ring('r', { value: 'i32' })
    const { address } = machine.watch.structs().find(({ name }) => name === 'ring[r]') ?? assert.fail()
    const use = () => useOfRing(machine.memory, address / 4)
    ring.trySend(1)
    assert.equal(use(), 'is not closed')
    ring.close()
    assert.equal(use(), 'has messages left')
    ring.tryReceive()
    assert.equal(use(), undefined)
  })

  it('everything once its thread has left', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const ring = other.ring('r', { value: 'i32' })
    ring.trySend(1)
    const going = ring.messages()
    const waiting = other.ring('empty').receiveAsync()
    const rejected = assert.rejects(waiting, OfflineError)
    await assert.rejects(other.offline(), (error: Error) => codeOf('PERCPU_HOTPLUG')(error as never))
    await rejected
    const calls = [
      () => ring.trySend(1),
      () => ring.send(1),
      () => ring.trySendMany([1]),
      () => ring.sendMany([1]),
      () => ring.tryReceive(),
      () => ring.receive(),
      () => ring.receiveMany(1),
      () => ring.peek(),
      () => ring.close(),
      () => ring.isClosed,
      () => ring.isEnded,
      () => ring.length,
      () => ring.messages(),
      () => ring.report(),
      () => ring.verify(),
    ]
    for (const call of calls) assert.throws(call, OfflineError, String(call))
    const later = [
      () => ring.sendAsync(1),
      () => ring.sendManyAsync([1]),
      () => ring.receiveAsync(),
      () => ring.receiveManyAsync(1),
      () => going.next(),
    ]
    for (const call of later) await assert.rejects(call, OfflineError, String(call))
    assert.equal(machine.ring('r', { value: 'i32' }).tryReceive(), 1)
  })

  it('to pass words that contradict each other', () => {
    const machine = fresh()
    const ring = machine.ring('r', { value: 'string', bytes: 64 })
    ring.trySend('one')
    ring.trySend('two')
    const placed = machine.watch.structs().find(({ name }) => name === 'ring[r]') ?? assert.fail()
    const { i32: words } = machine.memory
    const first = (placed.address + placed.struct.stride) / 4
    const spoil = (word: number, value: number, fault: RegExp): void => {
      const old = load32(words, word)
      ring.verify()
      store32(words, word, value)
      assert.throws(
        () => ring.verify(),
        (error: Error) => error instanceof RingCorruptionError && fault.test(error.message),
      )
      store32(words, word, old)
    }
    spoil(first, 13, /13 bytes/)
    spoil(first, -1, /-1 bytes/)
    const { head = 0, tail = 0 } = placed.struct.words as Partial<Record<string, number>>
    spoil(placed.address / 4 + head, 2 ** 30, /head is/)
    spoil(placed.address / 4 + tail, 17 * 2, /17 of 16 words/)
    store32(words, first, 2 ** 30)
    assert.throws(() => ring.tryReceive(), RingCorruptionError)
    assert.throws(() => ring.tryReceive(), RingCorruptionError)
    store32(words, first, 3)
    assert.deepEqual(ring.receiveMany(9), ['one', 'two'])
  })
})
