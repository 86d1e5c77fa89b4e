/**
 * A ring that is sent many messages at once, and asked for many, in every order of the accesses;
 * one of its users may be killed anywhere. Those of a piece come and go at one moment.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore } from '../../support/explore.js'
import { Full, orGaveUp, Queue, Scene } from './support/ring-scene.js'

describe('a ring of batches', () => {
  it('gives each message once, in the order in which they were sent', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      const history = t.history(Queue)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySendMany', [[1, 2, 3]], () => ring.trySendMany([1, 2, 3]))
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('receiveMany', [2], () => ring.receiveMany(2))
        history.call('tryReceive', [], () => ring.tryReceive())
      })
    })
  })

  it('writes over nothing that is still there', async (test) => {
    await explore(test, (t) => {
      // The room of messages that are gone is that of the next ones.
      const scene = new Scene(t, 2, [1, 2], 4)
      const history = t.history(Full)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySendMany', [[3, 4]], () => ring.trySendMany([3, 4]))
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('receiveMany', [2], () => ring.receiveMany(2))
      })
    })
  })

  it('is closed at one moment', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      const history = t.history(Queue)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        try {
          history.call('trySendMany', [[1, 2]], () => ring.trySendMany([1, 2]))
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'PERCPU_RING_CLOSED')
        }
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('close', [], () => ring.close())
        history.call('isEnded', [], () => ring.isEnded)
        history.call('receiveMany', [9], () => ring.receiveMany(9))
      })
    })
  })

  it('keeps all that a killed thread has sent at once, or nothing of it', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      const history = t.history(Queue)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySendMany', [[1, 2]], () => ring.trySendMany([1, 2]))
      })
      t.kill(0, { reaper: () => scene.reap(0) })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('receiveMany', [9], () => ring.receiveMany(9))
      })
      t.finally(() => scene.locks.assertIdle())
    })
  })

  it('loses all that a killed thread has taken at once, or nothing of it', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2, [1, 2])
      const history = t.history(Full)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('receiveMany', [2], () => ring.receiveMany(2))
      })
      t.kill(0, { reaper: () => scene.reap(0) })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySendMany', [[3, 4]], () => ring.trySendMany([3, 4]))
      })
      t.finally(() => scene.locks.assertIdle())
    })
  })

  it('wakes who waits for room for many', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2, [1])
      t.cpu(0, (cpu) => scene.open(cpu).sendMany([2, 3]))
      t.cpu(1, (cpu) => orGaveUp(() => scene.open(cpu).receiveMany(1)))
      t.finally(([sent, received]) => {
        assert.deepEqual([sent, received], [2, [1]])
        scene.locks.assertIdle()
      })
    })
  })
})
