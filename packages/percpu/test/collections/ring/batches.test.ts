/** Many messages at once: against an array, in pieces, refused, and waiting for room. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  ArgumentError,
  EntryTooLargeError,
  LockTimeoutError,
  RingClosedError,
  TooManyLocksError,
  type SharedRing,
} from 'percpu'
import { fresh, joinAs } from '../../support/machines.js'

/** Room for two numbers. */
const small = { value: 'i32', bytes: 16 } as const
const roomOf = (message: string): number => 4 + ((message.length + 3) & -4)

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

describe('batches of messages', () => {
  const message = fc.nat(90).map((length) => String(length % 10).repeat(length))
  const call = fc.oneof(
    fc.array(message, { maxLength: 12 }),
    fc.integer({ min: 1, max: 12 }),
    fc.constant('one' as const),
  )
  it('come and go as in an array', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 120, size: 'max' }), (calls) => {
        const machine = fresh()
        const options = { value: 'string', bytes: 404 } as const
        const rings = [machine, joinAs(machine, 101)].map((cpu) => cpu.ring('r', options))
        const queue: string[] = []
        let [sent, received] = [0, 0]
        for (const [at, each] of calls.entries()) {
          const ring = rings[at % 2] ?? assert.fail()
          if (typeof each === 'object') {
            let free = queue.reduce((left, one) => left - roomOf(one), 404)
            const refused = each.findIndex((one) => (free -= roomOf(one)) < 0)
            const fits = refused < 0 ? each : each.slice(0, refused)
            assert.equal(ring.trySendMany(each), fits.length)
            queue.push(...fits)
            sent += fits.length
          } else {
            const expected = queue.splice(0, each === 'one' ? 1 : each)
            const found = each === 'one' ? [ring.tryReceive() ?? []].flat() : ring.receiveMany(each)
            assert.deepEqual(found, expected)
            received += expected.length
          }
          ring.verify()
        }
        const report = rings[0]?.report()
        assert.deepEqual([report?.sent, report?.received, report?.length], [sent, received, queue.length])
      }),
      { numRuns: 20, seed: Number(process.env['PERCPU_SEED'] ?? 5) },
    )
  })

  it('may be larger than a piece, or have messages that are', () => {
    const ring = fresh({ memory: '8 MiB' }).ring('r', { bytes: '1 MiB' })
    const ones = Array.from({ length: 9000 }, () => 1)
    const sizes = [5, 0, 20_000, 16_380, 16_381, 7, 16_380, 300_000, ...ones, 64, 65]
    const messages = sizes.map((size, at) => new Uint8Array(size).fill(at))
    for (let round = 0; round < 3; round++) {
      assert.equal(ring.trySendMany(messages), sizes.length)
      ring.verify()
      assert.deepEqual(ring.receiveMany(4), messages.slice(0, 4))
      assert.deepEqual(ring.receiveMany(1e6), messages.slice(4))
      assert.equal(ring.report().free, ring.capacity)
    }
    assert.equal(ring.trySendMany([]), 0)
  })

  it('are encoded before any is sent, by code that may send, too', () => {
    const ring = fresh().ring('r', { value: 'json', bytes: 200 })
    function* list(): Generator {
      ring.trySendMany(['inner'])
      yield 'outer'
      yield { toJSON: () => ring.trySendMany(['first', 'second']) }
    }
    assert.equal(ring.trySendMany(list()), 2)
    assert.deepEqual(ring.receiveMany(9), ['inner', 'first', 'second', 'outer', 2])
  })

  it('are refused if one message is, or the list', async () => {
    const ring = fresh().ring('r', small) as unknown as SharedRing<unknown>
    const bytes = fresh().ring('b', { bytes: 16 }) as unknown as SharedRing<unknown>
    const error = new Error('no more')
    function* throwing(): Generator<number> {
      yield 1
      throw error
    }
    for (const wrong of [undefined, null, 5, 'text', {}, [1, 'x'], [1, 2.5], new Map([[1, 2]])])
      for (const call of ['trySendMany', 'sendMany'] as const)
        assert.throws(() => ring[call](wrong as never), ArgumentError)
    await assert.rejects(ring.sendManyAsync([1, 'x']), ArgumentError)
    assert.throws(() => ring.trySendMany(throwing()), error)
    assert.throws(() => ring.sendMany([1], { timeout: -1 }), ArgumentError)
    assert.throws(() => bytes.trySendMany([Uint8Array.of(1), new Uint8Array(13)]), EntryTooLargeError)
    assert.equal(ring.length + bytes.length, 0)
    ring.close()
    assert.throws(() => ring.trySendMany([1, 2]), RingClosedError)
    assert.throws(() => ring.sendMany([1, 2]), RingClosedError)
    await assert.rejects(ring.sendManyAsync([1, 2]), RingClosedError)
  })
})

describe('who waits to send many', () => {
  it('sends all as there is room', async () => {
    const machine = fresh()
    const ring = machine.ring('r', small)
    const other = joinAs(machine, 101).ring('r', small)
    const messages = Array.from({ length: 101 }, (_, i) => i)
    const sent = ring.sendManyAsync(messages)
    const received: number[] = []
    while (received.length < messages.length) {
      received.push(...other.receiveMany(9))
      await turns(3)
    }
    assert.equal(await sent, 101)
    assert.deepEqual(received, messages)
    assert.equal(ring.sendMany([1, 2]), 2)
    assert.equal(await ring.sendManyAsync([]), 0)
    assert.deepEqual(ring.report().senders, [])
  })

  it('is told how many it has sent when something ends its wait, if any', async () => {
    const machine = fresh()
    const ring = machine.ring('r', small)
    const aborted = (): AbortSignal => {
      const controller = new AbortController()
      setImmediate(() => controller.abort(new Error('enough')))
      return controller.signal
    }
    assert.equal(ring.sendMany([1, 2, 3], { timeout: 5 }), 2)
    assert.throws(() => ring.sendMany([4, 5], { timeout: 5 }), LockTimeoutError)
    await assert.rejects(ring.sendManyAsync([4, 5], { timeout: 5 }), LockTimeoutError)
    await assert.rejects(ring.sendManyAsync([4, 5], { signal: aborted() }), /enough/)
    assert.deepEqual(ring.receiveMany(9), [1, 2])
    assert.equal(await ring.sendManyAsync([1, 2, 3], { signal: aborted() }), 2)
    ring.tryReceive()
    const waiting = ring.sendManyAsync([4, 5])
    await turns()
    ring.close()
    assert.equal(await waiting, 1)
    assert.deepEqual(ring.receiveMany(9), [2, 4])
    assert.deepEqual(machine.locks.heldBy(0), [])
  })

  it('needs a place for its wait only if there is no room', () => {
    const machine = fresh()
    const ring = machine.ring('r', small)
    const guards = Array.from({ length: 32 }, (_, i) => machine.locks.mutex(`m${i}`).lock())
    assert.equal(ring.sendMany([1, 2]), 2)
    assert.throws(() => ring.sendMany([3]), TooManyLocksError)
    ring.tryReceive()
    assert.equal(ring.sendMany([3, 4]), 1)
    for (const guard of guards) guard.unlock()
  })
})

describe('who waits to receive many', () => {
  it('gets what is there, at most so many', async () => {
    const machine = fresh()
    const options = { value: 'json', bytes: 200 } as const
    const ring = machine.ring('r', options)
    const other = joinAs(machine, 101).ring('r', options)
    ring.trySendMany([null, 2, 3])
    assert.deepEqual(await other.receiveManyAsync(2), [null, 2])
    assert.deepEqual(await other.receiveManyAsync(2), [3])
    const waiting = other.receiveManyAsync(9)
    await turns()
    assert.deepEqual(ring.report().receivers, [1])
    ring.trySendMany([null, 5])
    assert.deepEqual(await waiting, [null, 5])
    assert.deepEqual(ring.report().receivers, [])
    const large = other.receiveManyAsync(9)
    await turns()
    ring.trySend('x'.repeat(150))
    assert.deepEqual(await large, ['x'.repeat(150)])
  })

  it('gets all in their order, in pieces, and nothing at the end', async () => {
    const machine = fresh()
    const ring = machine.ring('r', small)
    const other = joinAs(machine, 101).ring('r', small)
    const messages = Array.from({ length: 101 }, (_, i) => i)
    const received: number[] = []
    const receiving = (async () => {
      for (;;) {
        const some = await other.receiveManyAsync(9)
        if (some.length === 0) return
        received.push(...some)
      }
    })()
    assert.equal(await ring.sendManyAsync(messages), 101)
    ring.close()
    await receiving
    assert.deepEqual(received, messages)
    assert.deepEqual(await other.receiveManyAsync(9), [])
  })

  it('has received nothing when something ends its wait', async () => {
    const machine = fresh()
    const ring = machine.ring('r', small)
    await assert.rejects(ring.receiveManyAsync(9, { timeout: 5 }), LockTimeoutError)
    const controller = new AbortController()
    const aborted = assert.rejects(ring.receiveManyAsync(9, { signal: controller.signal }), /enough/)
    await turns()
    controller.abort(new Error('enough'))
    await aborted
    await assert.rejects(ring.receiveManyAsync(0), ArgumentError)
    await assert.rejects(ring.receiveManyAsync(1, { timeout: -1 }), ArgumentError)
    const ended = ring.receiveManyAsync(9)
    await turns()
    ring.close()
    assert.deepEqual(await ended, [])
    assert.deepEqual(machine.locks.heldBy(0), [])
  })
})

describe('a batch wakes', () => {
  const four = () => {
    const machine = fresh({ cpus: 4 })
    const machines = [machine, ...[101, 102, 103].map((thread) => joinAs(machine, thread))]
    return machines.map((each) => each.ring('r', small)) as [SharedRing<number>, ...SharedRing<number>[]]
  }
  it('as many as there are messages', async () => {
    const [ring, ...others] = four()
    const received: unknown[] = []
    const waits = others.map(async (other) => received.push(await other.receiveAsync()))
    await turns()
    assert.equal(ring.trySendMany([1, 2]), 2)
    assert.equal(ring.report().receivers.length, 1)
    await turns()
    assert.deepEqual(received.sort(), [1, 2])
    assert.equal(ring.trySendMany([3]), 1)
    await Promise.all(waits)
    assert.deepEqual(ring.report().receivers, [])
  })

  it('as many as there is room for', async () => {
    const [ring, ...others] = four()
    ring.trySendMany([1, 2])
    const waits = others.map((other, at) => other.sendAsync(3 + at))
    await turns()
    assert.equal(ring.report().senders.length, 3)
    assert.deepEqual(ring.receiveMany(9), [1, 2])
    assert.equal(ring.report().senders.length, 1)
    await turns()
    assert.equal(ring.receiveMany(9).length, 2)
    await Promise.all(waits)
  })
})
