/** A thread that replaces more than memory holds: what it has to do, and what it need not. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ArgumentError, OutOfMemoryError } from 'percpu'
import { fresh, joinAs } from '../support/machines.js'

const options = { key: 'u32', value: 'string' } as const
const value = 'a value of some length'

describe('a thread that replaces entries', () => {
  it('goes on for ever in one stretch, if it calls barrierBlocking now and then', () => {
    const machine = fresh({ memory: '4 MiB' })
    const map = machine.map('m', options)
    const times = Number(process.env['PERCPU_REPLACEMENTS'] ?? 300_000)
    for (let i = 0; i < times; i++) {
      map.set(i % 100, value)
      if (i % 1000 === 0) map.barrierBlocking({ timeout: 10_000 })
    }
    map.verify({ quiet: true })
    map.barrierBlocking()
    machine.heap.verify({ quiet: true })
    assert.equal(map.size, 100)
  })

  it('runs out of memory in one stretch, and goes on after barrierBlocking', () => {
    const machine = fresh({ memory: '1 MiB' })
    const map = machine.map('m', options)
    assert.throws(() => {
      for (let i = 0; i < 100_000; i++) map.set(i % 100, value)
    }, OutOfMemoryError)
    map.barrierBlocking({ timeout: 10_000 })
    for (let i = 0; i < 1000; i++) map.set(i % 100, value)
    map.verify({ quiet: true })
  })

  it('loads more than memory holds at once, from whatever can be iterated', async () => {
    const machine = fresh({ memory: '1 MiB' })
    const other = joinAs(machine, 101)
    const map = machine.map('m', options)
    function* some(): Generator<[number, string]> {
      for (let i = 0; i < 20_000; i++) yield [i % 100, `${value} ${i}`]
    }
    async function* later(): AsyncGenerator<[number, string]> {
      for (const pair of some()) {
        if (pair[0] === 50) await Promise.resolve()
        yield [pair[0] + 1000, pair[1]]
      }
    }
    assert.throws(() => map.setMany(some()), OutOfMemoryError)
    assert.equal(await map.loadAsync(some(), { sizeHint: 100 }), map)
    await map.loadAsync(later())
    assert.equal(map.size, 200)
    const seen = other.map('m', options)
    for (let i = 0; i < 100; i++) {
      assert.equal(map.get(i), `${value} ${19_900 + i}`)
      assert.equal(seen.get(1000 + i), `${value} ${19_900 + i}`)
    }
    map.verify({ quiet: true })
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
  })

  it('stops a load when it is told to, or something is wrong, with what was set before', async () => {
    const machine = fresh()
    const map = machine.map('m', options)
    const abort = new AbortController()
    const reason = new Error('enough')
    function* endless(): Generator<[number, string]> {
      for (let i = 0; ; i++) {
        if (i === 1000) abort.abort(reason)
        yield [i % 10, value]
      }
    }
    await assert.rejects(map.loadAsync(endless(), { signal: abort.signal }), reason)
    assert.equal(map.size, 10)
    await assert.rejects(map.loadAsync([[50, value]], { signal: abort.signal }), reason)
    await assert.rejects(map.loadAsync([[50, value], 5 as never]), ArgumentError)
    await assert.rejects(map.loadAsync(5 as never), ArgumentError)
    assert.equal(map.size, 11)
    assert.equal(map.get(50), value)
  })
})
