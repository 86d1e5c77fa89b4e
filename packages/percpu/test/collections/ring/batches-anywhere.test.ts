/** Batches whose thread is killed before any access: a piece is there as a whole or not at all. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import type { SharedRing } from 'percpu'
import { forEachAccessAsync, fresh, joinAs, killAt } from '../../support/hooked-percpu.js'
import { bury, muteKilled } from '../support/victims.js'

type Texts = SharedRing<string>
/** Room for four messages of 8 bytes; they go around the end of the buffer. */
const options = { value: 'string', bytes: 48 } as const
const text = (n: number): string => String(n).padStart(8, 'x')

interface Scene {
  readonly start: readonly string[]
  readonly call: (ring: Texts) => unknown
  /** What is there when it has happened, or has not. */
  readonly after: readonly string[]
}
const scenes: Readonly<Record<string, Scene>> = {
  'sending many': {
    start: [text(1)],
    call: (ring) => ring.trySendMany([2, 3, 4, 5].map(text)),
    after: [1, 2, 3, 4].map(text),
  },
  'sending many with all the room that they need': {
    start: [text(1)],
    call: (ring) => ring.sendMany([2, 3].map(text)),
    after: [1, 2, 3].map(text),
  },
  'receiving many': {
    start: [1, 2, 3].map(text),
    call: (ring) => ring.receiveMany(2),
    after: [text(3)],
  },
}

describe('a thread killed before any access', () => {
  before(muteKilled)
  for (const [name, { start, call, after }] of Object.entries(scenes))
    it(`of ${name} has done it, or not`, async () => {
      const seen = { done: 0, undone: 0 }
      await forEachAccessAsync(async (at) => {
        const machine = fresh()
        const victim = joinAs(machine, 101)
        const ring = machine.ring('r', options)
        const dying = victim.ring('r', options)
        // So that what follows goes around the end.
        ring.trySendMany(['', text(0)])
        ring.receiveMany(2)
        ring.trySendMany(start)
        const killed = killAt(() => call(dying), at, victim)
        if (killed) {
          bury(victim)
          machine.cpus.declareDead(1)
        } else await victim.offline()
        ring.verify()
        const { length, sent, received, free } = ring.report()
        const found = ring.receiveMany(9)
        const isDone = JSON.stringify(found) === JSON.stringify(after)
        if (!isDone) assert.deepEqual(found, start, `access ${at}`)
        seen[isDone ? 'done' : 'undone']++
        assert.deepEqual(
          [length, sent - received, free],
          [found.length, found.length, ring.capacity - found.length * 12],
        )
        assert.equal(ring.trySendMany([6, 7, 8].map(text)), 3)
        assert.deepEqual(ring.receiveMany(9), [6, 7, 8].map(text))
        return killed
      })
      assert.ok(seen.done > 1 && seen.undone > 2, JSON.stringify(seen))
    })
})
