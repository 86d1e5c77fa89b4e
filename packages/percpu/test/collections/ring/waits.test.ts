/** Waiting at a ring: for messages, for room, for its end; time-outs, signals, and who is woken. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LockTimeoutError, RingClosedError, TooManyLocksError, type Machine, type SharedRing } from 'percpu'
import { fresh, joinAs } from '../../support/machines.js'

type Numbers = SharedRing<number>
/** Room for two messages. */
const options = { value: 'i32', bytes: 16 } as const

function four(): {
  readonly machines: readonly Machine[]
  readonly rings: readonly [Numbers, Numbers, Numbers, Numbers]
} {
  const machine = fresh({ cpus: 4 })
  const machines = [machine, ...[101, 102, 103].map((thread) => joinAs(machine, thread))]
  return { machines, rings: machines.map((each) => each.ring('r', options)) as never }
}

async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

describe('who waits for a message', () => {
  it('gets those that come, in their order', async () => {
    const {
      rings: [ring, other],
    } = four()
    const received = (async () => {
      const all: number[] = []
      for await (const message of other) all.push(message)
      return all
    })()
    for (let i = 0; i < 2000; i++) await ring.sendAsync(i)
    ring.close()
    assert.deepEqual(
      await received,
      Array.from({ length: 2000 }, (_, i) => i),
    )
  })

  it('leaves what it does not ask for', async () => {
    const {
      rings: [ring],
    } = four()
    ring.trySend(1)
    ring.trySend(2)
    for await (const message of ring) {
      assert.equal(message, 1)
      break
    }
    const going = ring.messages({ timeout: 1000 })
    assert.deepEqual(await going.next(), { value: 2, done: false })
    assert.deepEqual(await going.return(undefined), { value: undefined, done: true })
    assert.equal(ring.length, 0)
  })

  it('gives up at its time-out, or when its signal aborts', async () => {
    const {
      machines: [machine],
      rings: [ring],
    } = four()
    assert.throws(() => ring.receive({ timeout: 5 }), LockTimeoutError)
    await assert.rejects(ring.receiveAsync({ timeout: 5 }), LockTimeoutError)
    await assert.rejects(ring.messages({ timeout: 5 }).next(), LockTimeoutError)
    const reason = new Error('enough')
    const aborted = AbortSignal.abort(reason)
    assert.throws(() => ring.receive({ signal: aborted }), reason)
    await assert.rejects(ring.receiveAsync({ signal: aborted }), reason)
    assert.throws(() => ring.messages({ signal: aborted }), reason)
    const controller = new AbortController()
    const waits = [
      ring.receiveAsync({ signal: controller.signal }),
      ring.messages({ signal: controller.signal }).next(),
    ].map((wait) => assert.rejects(wait, reason))
    controller.abort(reason)
    await Promise.all(waits)
    ring.trySend(7)
    assert.equal(ring.receive({ timeout: 0 }), 7)
    assert.deepEqual(machine?.locks.heldBy(0), [])
    assert.deepEqual(ring.report().receivers, [])
  })

  it('is refused when no place for its wait is left, with the message there', async () => {
    const {
      machines: [machine],
      rings: [ring],
    } = four()
    const guards = Array.from({ length: 32 }, (_, i) => machine?.locks.mutex(`m${i}`).lock())
    ring.trySend(1)
    assert.equal(ring.receive(), 1)
    assert.throws(() => ring.receive(), TooManyLocksError)
    await assert.rejects(ring.receiveAsync(), TooManyLocksError)
    for (const guard of guards) guard?.unlock()
    ring.trySend(2)
    assert.equal(await ring.receiveAsync(), 2)
  })

  it('is the only one that a message wakes', async () => {
    const {
      rings: [ring, ...others],
    } = four()
    const received: number[] = []
    const waits = others.map(async (other) => received.push((await other.receiveAsync()) ?? -1))
    await turns()
    assert.equal(ring.report().receivers.length, 3)
    ring.trySend(1)
    assert.equal(ring.report().receivers.length, 2)
    // Before the first one has come: another one is woken.
    ring.trySend(2)
    assert.equal(ring.report().receivers.length, 1)
    await turns()
    assert.deepEqual(received, [1, 2])
    ring.trySend(3)
    await Promise.all(waits)
    assert.deepEqual(ring.report().receivers, [])
  })

  it('asks to be woken again if another one was faster', async () => {
    const {
      rings: [ring, other],
    } = four()
    const waiting = other.receiveAsync()
    await turns()
    ring.trySend(1)
    assert.equal(ring.tryReceive(), 1)
    await turns()
    assert.deepEqual(ring.report().receivers, [1])
    ring.trySend(2)
    assert.equal(await waiting, 2)
  })

  it('and is aborted when it was woken passes that on', async () => {
    const {
      rings: [ring, first, second],
    } = four()
    const controller = new AbortController()
    const aborted = assert.rejects(first.receiveAsync({ signal: controller.signal }), { name: 'AbortError' })
    const waiting = second.receiveAsync()
    await turns()
    ring.trySend(1)
    controller.abort()
    await aborted
    assert.equal(await Promise.race([waiting, turns()]), 1)
    ring.close()
  })

  it('may be several tasks of one thread', async () => {
    const {
      rings: [ring, other],
    } = four()
    const all = Promise.all([1, 2, 3, 4].map(() => other.receiveAsync()))
    await turns()
    for (let i = 0; i < 4; i++) {
      assert.ok(ring.trySend(i))
      await turns()
    }
    assert.deepEqual(await all, [0, 1, 2, 3])
    // And the sender itself.
    const own = ring.receiveAsync()
    await turns()
    ring.trySend(5)
    assert.equal(await own, 5)
  })
})

describe('who waits for room', () => {
  it('sends when there is', async () => {
    const {
      rings: [ring, other],
    } = four()
    assert.deepEqual(
      [1, 2, 3].map((n) => ring.trySend(n)),
      [true, true, false],
    )
    const late = ring.sendAsync(3)
    await turns()
    assert.deepEqual(ring.report().senders, [0])
    assert.equal(other.tryReceive(), 1)
    await late
    assert.deepEqual(other.receiveMany(5), [2, 3])
  })

  it('gives up at its time-out, or when its signal aborts, with nothing sent', async () => {
    const {
      rings: [ring],
    } = four()
    ring.trySend(1)
    ring.trySend(2)
    assert.throws(() => ring.send(3, { timeout: 5 }), LockTimeoutError)
    await assert.rejects(ring.sendAsync(3, { timeout: 5 }), LockTimeoutError)
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = assert.rejects(ring.sendAsync(3, { signal: controller.signal }), reason)
    await turns()
    controller.abort(reason)
    await aborted
    assert.deepEqual(ring.receiveMany(5), [1, 2])
    assert.deepEqual(ring.report().senders, [])
  })

  it('is woken one by one where all messages have the same size', async () => {
    const {
      rings: [ring, ...others],
    } = four()
    ring.trySend(1)
    ring.trySend(2)
    const waits = others.map((other, i) => other.sendAsync(10 + i))
    await turns()
    assert.equal(ring.report().senders.length, 3)
    ring.tryReceive()
    assert.equal(ring.report().senders.length, 2)
    ring.tryReceive()
    assert.equal(ring.report().senders.length, 1)
    await turns()
    ring.tryReceive()
    await Promise.all(waits)
  })

  it('does not wait for another one that needs more of it', async () => {
    const { machines } = four()
    const open = (cpu: number) => machines[cpu]?.ring('text', { value: 'string', bytes: 32 }) ?? assert.fail()
    const [ring, large, small] = [open(0), open(1), open(2)]
    ring.trySend('x')
    ring.trySend('y'.repeat(20))
    const first = large.sendAsync('l'.repeat(28))
    await turns()
    const second = small.sendAsync('s')
    await turns()
    assert.equal(ring.tryReceive(), 'x')
    assert.equal(await Promise.race([second, turns(50).then(() => 'asleep')]), undefined)
    // Which has a copy of its message meanwhile.
    assert.equal(large.trySend('z'.repeat(28)), false)
    assert.deepEqual(ring.receiveMany(9), ['y'.repeat(20), 's'])
    await first
    assert.deepEqual(ring.receiveMany(9), ['l'.repeat(28)])
  })
})

describe('closing', () => {
  it('ends all waits', async () => {
    const {
      rings: [ring, first, second, third],
    } = four()
    const receives = [first, second].map((each) => each.receiveAsync())
    const loop = (async () => {
      for await (const message of third) assert.fail(String(message))
    })()
    await turns()
    ring.close()
    assert.deepEqual(await Promise.all(receives), [undefined, undefined])
    await loop
  })

  it('ends those for room by an error', async () => {
    const {
      rings: [ring, first, second],
    } = four()
    ring.trySend(1)
    ring.trySend(2)
    const sends = [first, second].map((each) => assert.rejects(each.sendAsync(3), RingClosedError))
    await turns()
    ring.close()
    await Promise.all(sends)
    assert.deepEqual(second.receiveMany(9), [1, 2])
    assert.equal(await second.receiveAsync(), undefined)
  })
})

describe('a loop that never has to wait', () => {
  it('lets timers have their turn', async () => {
    const ring = fresh().ring('r', { value: 'i32' })
    const timer = { isOver: false }
    setTimeout(() => (timer.isOver = true), 5)
    let count = 0
    while (!timer.isOver && count < 1e6) {
      await ring.sendAsync(count++)
      await ring.receiveAsync()
    }
    assert.ok(timer.isOver, `${count} messages`)
  })
})
