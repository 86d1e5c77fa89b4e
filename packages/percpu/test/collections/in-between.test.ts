/** What code of the user's does in the middle of a call of a map or a ring, or between two. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { boot, ArgumentError, struct, u32, type MapOptions } from 'percpu'

const Pair = struct('Pair', { a: u32, b: u32 })
const fresh = () => boot({ memory: '1 MiB', cpus: 2 })

describe('encoding a value', () => {
  it('that looks up another struct stores what it was given', () => {
    const map = fresh().map('m', { key: 'i32', value: Pair })
    map.set(1, { a: 1, b: 2 })
    const value = {
      a: 10,
      get b() {
        assert.deepEqual(map.get(1), { a: 1, b: 2 })
        return 20
      },
    }
    map.set(2, value)
    assert.deepEqual(map.get(2), { a: 10, b: 20 })
  })

  it('that receives another message sends what it was given', () => {
    const ring = fresh().ring('r', { value: Pair, bytes: 1024 })
    ring.trySend({ a: 1, b: 2 })
    const message = {
      a: 10,
      get b() {
        assert.deepEqual(ring.tryReceive(), { a: 1, b: 2 })
        return 20
      },
    }
    ring.trySend(message)
    assert.deepEqual(ring.tryReceive(), { a: 10, b: 20 })
  })

  it('that sets the very entry is refused, not tried for ever', () => {
    const map = fresh().map('m', { key: 'i32', value: 'json' })
    map.set(1, 1)
    let times = 0
    const value = {
      toJSON() {
        if (times++ < 100) map.set(1, 1)
        return 5
      },
    }
    assert.throws(() => map.compareAndSet(1, 1, value), ArgumentError)
    assert.ok(times < 100)
    assert.equal(map.get(1), 1)
    let isThere = true
    const other = {
      toJSON() {
        isThere = !isThere
        if (times++ >= 100) return 6
        if (isThere) map.set(1, 1)
        else map.delete(1)
        return 6
      },
    }
    times = 0
    assert.throws(() => map.getOrInsert(1, other), ArgumentError)
  })
})

describe('a listener', () => {
  it('is told of no change that came before it', async () => {
    const map = fresh().map('m', { key: 'i32', value: 'i32' })
    const told: string[] = []
    const first = map.on('change', () => told.push('first'))
    await sleep(10)
    first()
    const second = map.on('change', () => told.push('second'))
    await sleep(20)
    assert.equal(told.length, 0)
    map.set(1, 1)
    const third = map.on('change', () => told.push('third'))
    await sleep(20)
    assert.deepEqual(told, ['second'])
    map.set(1, 2)
    await sleep(20)
    assert.deepEqual(told, ['second', 'second', 'third'])
    second()
    third()
  })

  it('may write into the key that it is given', async () => {
    const map = fresh().map('m', { key: 'bytes', value: 'i32' })
    const values: unknown[] = []
    const off = map.watch(new Uint8Array([1]), (value, key) => {
      values.push(value)
      key[0] = 9
    })
    for (const value of [1, 2]) {
      map.set(new Uint8Array([1]), value)
      await sleep(20)
    }
    assert.deepEqual(values, [1, 2])
    off()
  })

  it('is told once that an entry has ended, and not if it had before', async () => {
    const map = fresh().map('m', { key: 'i32', value: 'i32', ttl: 500 })
    map.set(1, 1)
    const values: unknown[] = []
    const off = map.watch(1, (value) => values.push(value))
    // Long enough that it begins to listen in time on a busy computer, too.
    await sleep(520)
    const late: unknown[] = []
    const offLate = map.watch(1, (value) => late.push(value))
    map.set(2, 2)
    await sleep(20)
    for (let i = 3; i < 200; i++) map.set(i, i)
    await sleep(20)
    assert.deepEqual([values, late], [[undefined], []])
    off()
    offLate()
  })

  it('is not there if its signal throws', async () => {
    const map = fresh().map('m', { key: 'i32', value: 'i32' })
    let isTold = false
    const signal = {
      aborted: false,
      reason: undefined,
      addEventListener: () => {
        throw new Error('none today')
      },
      removeEventListener: () => undefined,
    }
    assert.throws(() => map.on('change', () => (isTold = true), { signal }), /none today/)
    const off = map.on('change', () => undefined)
    map.set(1, 1)
    await sleep(20)
    off()
    assert.ok(!isTold)
  })
})

describe('a map', () => {
  it('reads each option once when it has checked them', () => {
    const machine = fresh()
    for (const [name, good, bad] of [
      ['capacity', 5, -3],
      ['ttl', 1000, -7],
      ['key', 'i32', 'nothing'],
      ['value', 'i32', 'nothing'],
    ] as const)
      for (let at = 1; at < 8; at++) {
        let reads = 0
        const options = { key: 'i32', value: 'i32' }
        Object.defineProperty(options, name, { enumerable: true, get: () => (reads++ < at ? good : bad) })
        const open = () => machine.map(`${name} ${at}`, options as MapOptions<'i32', 'i32'>)
        if (at === 1) assert.throws(open, ArgumentError)
        else assert.equal(open().set(1, 1).get(1), 1)
      }
  })

  it('counts a look-up that finds only what has ended as one that finds none', async () => {
    const map = fresh().map('m', { key: 'i32', value: 'i32', ttl: 5, stats: true })
    map.set(1, 1)
    await sleep(20)
    assert.equal(map.getOrInsert(1, 2), 2)
    const { hits, misses } = map.report()
    assert.deepEqual({ hits, misses }, { hits: 0, misses: 1 })
  })
})
