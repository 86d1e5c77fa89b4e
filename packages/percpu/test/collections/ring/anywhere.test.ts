/**
 * Calls of a ring with their thread killed before any access to shared memory, or with another one
 * that comes in between there: a message is there as a whole or not at all, nobody is held up, and
 * who waits is woken. So it is if the reaper is killed as well.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { Machine, SharedRing } from 'percpu'
import {
  forEachAccess,
  forEachAccessAsync,
  fresh,
  interrupt,
  joinAs,
  killAt,
  killAtAccess,
} from '../../support/hooked-percpu.js'
import { bury, muteKilled } from '../support/victims.js'

type Texts = SharedRing<string>
/** Room for three messages of 8 bytes; they go around the end of the buffer. */
const options = { value: 'string', bytes: 36 } as const
const text = (n: number): string => String(n).padStart(8, 'x')

interface Scene {
  readonly start: readonly string[]
  readonly call: (ring: Texts) => unknown
  /** What is there when it has happened, or has not. */
  readonly after: readonly string[]
  readonly points: number
}

const scenes: Readonly<Record<string, Scene>> = {
  sending: { start: [text(1)], call: (ring) => ring.trySend(text(2)), after: [text(1), text(2)], points: 12 },
  'sending to a ring that is full': {
    start: [1, 2, 3].map(text),
    call: (ring) => ring.trySend(text(4)),
    after: [1, 2, 3].map(text),
    points: 4,
  },
  receiving: { start: [text(1), text(2)], call: (ring) => ring.tryReceive(), after: [text(2)], points: 9 },
  peeking: { start: [1, 2].map(text), call: (ring) => ring.peek(), after: [1, 2].map(text), points: 5 },
  'receiving from a ring that is empty': {
    start: [],
    call: (ring) => ring.tryReceive(),
    after: [],
    points: 4,
  },
}

function prepare(start: readonly string[]): { machine: Machine; victim: Machine; ring: Texts; dying: Texts } {
  const machine = fresh()
  const victim = joinAs(machine, 101)
  const ring = machine.ring('r', options)
  const dying = victim.ring('r', options)
  // So that what follows goes around the end.
  ring.trySend('')
  ring.trySend(text(0))
  ring.receiveMany(2)
  for (const message of start) assert.ok(ring.trySend(message))
  return { machine, victim, ring, dying }
}

/** It is whole, and can be used; returns whether the call has happened. */
function assertWhole(ring: Texts, { start, after }: Scene, when: string): boolean {
  ring.verify()
  const { length, sent, received, free } = ring.report()
  const found = ring.receiveMany(9)
  const isDone = JSON.stringify(found) === JSON.stringify(after)
  if (!isDone) assert.deepEqual(found, start, when)
  assert.equal(length, found.length, when)
  assert.equal(sent - received, length, when)
  assert.equal(free, ring.capacity - found.length * 12, when)
  for (let n = 0; n < 5; n++) {
    assert.ok(ring.trySend(text(n)), when)
    assert.equal(ring.tryReceive(), text(n), when)
  }
  return isDone
}

describe('a thread killed before any access', () => {
  before(muteKilled)
  for (const [name, scene] of Object.entries(scenes)) {
    it(`of ${name} has done it, or not`, async () => {
      const seen = { done: 0, undone: 0 }
      const points = await forEachAccessAsync(async (at) => {
        const { machine, victim, ring, dying } = prepare(scene.start)
        const killed = killAt(() => scene.call(dying), at, victim)
        if (killed) {
          bury(victim)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        seen[assertWhole(ring, scene, `access ${at}`) ? 'done' : 'undone']++
        return killed
      })
      assert.ok(points >= scene.points && seen.done > 1, JSON.stringify({ points, seen }))
      if (scene.start.length !== scene.after.length) assert.ok(seen.undone > 2, JSON.stringify(seen))
    })
  }

  it('of cleaning up leaves the rest to the next reaper', () => {
    const scene = scenes['sending'] ?? assert.fail()
    for (const death of [8, 14])
      forEachAccess((at) => {
        const { machine, victim, ring, dying } = prepare(scene.start)
        const reaper = joinAs(machine, 102)
        reaper.ring('r', options)
        assert.ok(killAtAccess(() => scene.call(dying), death, victim))
        const killed = killAt(() => reaper.cpus.declareDead(1), at * 4, reaper)
        bury(victim)
        if (killed) {
          bury(reaper)
          machine.cpus.declareDead(2)
          if (machine.cpus.present.includes(1)) machine.cpus.declareDead(1)
        }
        assertWhole(ring, scene, `death ${death}, access ${at}`)
        return killed
      })
  })

  it('of sending or closing leaves nobody asleep', async () => {
    for (const call of [(ring: Texts) => ring.trySend('a'), (ring: Texts) => ring.close()])
      await forEachAccessAsync(async (at) => {
        const { machine, victim, ring, dying } = prepare([])
        const waits = [ring.receiveAsync(), ring.receiveAsync()]
        await new Promise(setImmediate)
        const killed = killAt(() => call(dying), at, victim)
        if (killed) bury(victim)
        machine.cpus.declareDead(1)
        // What there is wakes them without anybody's help.
        const expected = ring.length + (ring.isClosed ? 2 : 0)
        let woken = 0
        for (const wait of waits) void wait.then(() => woken++)
        await turns()
        assert.equal(woken, expected, `access ${at}`)
        ring.close()
        await Promise.all(waits)
        return killed
      })
  })

  it('of waiting passes its wake-up on', async () => {
    let isWoken = 0
    await forEachAccessAsync(async (at) => {
      const { machine, victim, ring, dying } = prepare([])
      const third = joinAs(machine, 102)
      const other = third.ring('r', options)
      const controller = new AbortController()
      const first = dying.receiveAsync({ signal: controller.signal })
      first.catch(() => undefined)
      await turns(2)
      const second = other.receiveAsync()
      await turns(2)
      ring.trySend('a')
      // It dies while it answers the ring.
      const killed = killAt(() => victim.poll(), at, victim)
      if (killed) {
        bury(victim)
        machine.cpus.declareDead(1)
        const received = await second
        assert.equal(received, 'a', `access ${at}`)
        isWoken++
      }
      ring.close()
      await Promise.race([second, turns()])
      // Its timers would keep the process alive.
      controller.abort()
      return killed
    })
    assert.ok(isWoken > 2, String(isWoken))
  })
})

async function turns(count = 10): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

describe('somebody else before any access', () => {
  const both = (): { ring: Texts; other: Texts } => {
    const { ring, dying } = prepare([text(1)])
    return { ring, other: dying }
  }
  it('of sending receives what is there', () => {
    const seen = new Set<string>()
    forEachAccess((at) => {
      const { ring, other } = both()
      let received: readonly string[] = []
      const isInside = interrupt(
        () => ring.trySend(text(2)),
        at,
        () => {
          other.verify()
          assert.ok(other.length <= 2)
          received = other.receiveMany(9)
        },
      )
      seen.add(received.join())
      assert.deepEqual([...received, ...ring.receiveMany(9)], [text(1), text(2)], `access ${at}`)
      assert.equal(ring.length, 0)
      return isInside
    })
    assert.deepEqual(seen, new Set([text(1), [text(1), text(2)].join(), '']))
  })

  it('of receiving sends what there is room for', () => {
    const sent = new Set<number>()
    forEachAccess((at) => {
      const { ring, other } = both()
      other.trySend(text(2))
      let count = 0
      let received: string | undefined
      const isInside = interrupt(
        () => (received = ring.tryReceive()),
        at,
        () => {
          other.verify()
          while (other.trySend(text(count + 3))) count++
        },
      )
      sent.add(count)
      assert.equal(received, text(1), `access ${at}`)
      assert.deepEqual(
        ring.receiveMany(9),
        Array.from({ length: 1 + count }, (_, i) => text(i + 2)),
      )
      return isInside
    })
    assert.deepEqual(sent, new Set([0, 1, 2]))
  })

  it('of sending closes the ring: the message is refused, or there', () => {
    const lengths = new Set<number>()
    forEachAccess((at) => {
      const { ring, other } = both()
      let isSent = false as boolean
      let lengthAtClose = -1
      const isInside = interrupt(
        () => {
          try {
            isSent = ring.trySend(text(2))
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'PERCPU_RING_CLOSED')
          }
        },
        at,
        () => {
          other.close()
          lengthAtClose = other.length
        },
      )
      assert.equal(ring.isClosed, isInside)
      if (isInside) assert.equal(ring.length, lengthAtClose, `access ${at}: sent to a closed ring`)
      lengths.add(lengthAtClose)
      assert.equal(ring.length, isSent ? 2 : 1, `access ${at}`)
      return isInside
    })
    assert.deepEqual(lengths, new Set([-1, 1, 2]))
  })

  it('of waiting sends: it is woken', async () => {
    let count = 0
    await forEachAccessAsync(async (at) => {
      const { ring, other } = both()
      ring.tryReceive()
      let wait: Promise<string | undefined> | undefined
      const isInside = interrupt(
        () => (wait = ring.receiveAsync()),
        // It looks very often before it sleeps.
        at < 50 ? at : 50 + (at - 50) * 31,
        () => other.trySend('a'),
      )
      if (!isInside) other.trySend('a')
      else count++
      assert.equal(await Promise.race([wait, turns(50)]), 'a', `access ${at}`)
      return isInside
    })
    assert.ok(count > 10, String(count))
  })
})
