/**
 * A ring that several CPUs use at the same time, in every order of their accesses; one of them may
 * be killed anywhere. What their calls give is what one queue would give, and nobody sleeps for
 * ever. The shipped modules over a bare memory: joining a machine would be most of each execution.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore } from '../../support/explore.js'
import { Full, orGaveUp, Queue, Scene } from './support/ring-scene.js'

describe('a ring', () => {
  it('gives each message once, in the order in which they were sent', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      const history = t.history(Queue)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        for (const message of [1, 2]) history.call('trySend', [message], () => ring.trySend(message))
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        for (let i = 0; i < 2; i++) history.call('tryReceive', [], () => ring.tryReceive())
      })
    })
  })

  it('keeps two senders apart', async (test) => {
    await explore(
      test,
      (t) => {
        const scene = new Scene(t, 3)
        for (const n of [0, 1]) t.cpu(n, (cpu) => orGaveUp(() => scene.open(cpu).trySend(n + 1)))
        t.cpu(2, (cpu) => {
          const ring = scene.open(cpu)
          return [ring.tryReceive(), ring.tryReceive()]
        })
        t.finally(([first, second, received]) => {
          const sent = [first === true ? 1 : 0, second === true ? 2 : 0].filter((message) => message > 0)
          const found = (received as (number | undefined)[]).filter((message) => message !== undefined)
          assert.ok(found.every((message) => sent.includes(message)))
          assert.equal(new Set(found).size, found.length)
          assert.equal(scene.isEmpty, found.length === sent.length)
          scene.locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })

  it('writes over nothing that is still there', async (test) => {
    await explore(test, (t) => {
      // The room of a message that is gone is that of the next one.
      const scene = new Scene(t, 2, [1, 2], 4)
      const history = t.history(Full)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySend', [3], () => ring.trySend(3))
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        for (let i = 0; i < 2; i++) history.call('tryReceive', [], () => ring.tryReceive())
      })
    })
  })

  it('shows a message that is there', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2, [1, 2], 4)
      t.cpu(0, (cpu) => orGaveUp(() => scene.open(cpu).peek()))
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        const received = orGaveUp(() => ring.tryReceive())
        ring.trySend(3)
        return received
      })
      t.finally(([seen, received]) => {
        assert.ok([1, 2, 'gave up'].includes(seen as number), String(seen))
        assert.ok([1, 'gave up'].includes(received as number), String(received))
        scene.locks.assertIdle()
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
          history.call('trySend', [1], () => ring.trySend(1))
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'PERCPU_RING_CLOSED')
        }
      })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        history.call('close', [], () => ring.close())
        history.call('isEnded', [], () => ring.isEnded)
        history.call('tryReceive', [], () => ring.tryReceive())
      })
    })
  })

  it('keeps what a killed thread has sent, or nothing of it', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      const history = t.history(Queue)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('trySend', [1], () => ring.trySend(1))
      })
      t.kill(0, { reaper: () => scene.reap(0) })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        for (let i = 0; i < 2; i++) history.call('tryReceive', [], () => ring.tryReceive())
      })
      t.finally(() => scene.locks.assertIdle())
    })
  })

  it('loses no more than what a killed thread has taken', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2, [1, 2])
      const history = t.history(Full)
      t.cpu(0, (cpu) => {
        const ring = scene.open(cpu)
        history.call('tryReceive', [], () => ring.tryReceive())
      })
      t.kill(0, { reaper: () => scene.reap(0) })
      t.cpu(1, (cpu) => {
        const ring = scene.open(cpu)
        for (const message of [3, 4]) history.call('trySend', [message], () => ring.trySend(message))
      })
      t.finally(() => scene.locks.assertIdle())
    })
  })
})

describe('who waits at a ring', () => {
  it('for a message is woken', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      t.cpu(0, (cpu) => {
        scene.open(cpu).trySend(1)
      })
      t.cpu(1, (cpu) => scene.open(cpu).receive())
      t.finally(([, received]) => {
        assert.equal(received, 1)
        scene.locks.assertIdle()
      })
    })
  })

  it('for room is woken', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2, [1, 2])
      t.cpu(0, (cpu) => {
        scene.open(cpu).send(3)
      })
      t.cpu(1, (cpu) => scene.open(cpu).tryReceive())
      t.finally(([, received]) => {
        assert.equal(received, 1)
        scene.locks.assertIdle()
      })
    })
  })

  it('is woken by its end', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      t.cpu(0, (cpu) => {
        scene.open(cpu).close()
      })
      t.cpu(1, (cpu) => scene.open(cpu).receive())
      t.finally(([, received]) => {
        assert.equal(received, undefined)
        scene.locks.assertIdle()
      })
    })
  })
  it('asks to be woken again if there is nothing any more', async (test) => {
    await explore(
      test,
      (t) => {
        const scene = new Scene(t, 2)
        t.cpu(0, (cpu) => {
          const ring = scene.open(cpu)
          return orGaveUp(() => {
            ring.trySend(1)
            const again = ring.tryReceive()
            ring.trySend(2)
            return again
          })
        })
        t.cpu(1, (cpu) => orGaveUp(() => scene.open(cpu).receive()))
        t.finally(([again, received]) => {
          if (again !== 'gave up' && received !== 'gave up')
            assert.equal(received, again === undefined ? 1 : 2)
          scene.locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })

  it('without blocking is woken', async (test) => {
    await explore(
      test,
      (t) => {
        const scene = new Scene(t, 2)
        t.cpu(0, (cpu) => {
          scene.open(cpu).trySend(1)
        })
        t.cpu(1, (cpu) => scene.open(cpu, true).receiveAsync())
        t.finally(([, received]) => {
          assert.equal(received, 1)
          scene.locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })

  it('is woken if another one that was is killed', async (test) => {
    await explore(
      test,
      (t) => {
        const scene = new Scene(t, 3)
        t.cpu(0, (cpu) => {
          const ring = scene.open(cpu)
          ring.trySend(1)
          ring.trySend(2)
        })
        for (const n of [1, 2]) t.cpu(n, (cpu) => orGaveUp(() => scene.open(cpu).receive()))
        t.kill(1, { reaper: () => scene.reap(1) })
        t.finally(([, , received]) => {
          assert.ok(received === 1 || received === 2 || received === 'gave up')
          scene.locks.assertIdle()
        })
      },
      { mode: 'pct', depth: 4, executions: 600, seed: 5 },
    )
  })

  it('is woken if who has sent is killed', async (test) => {
    await explore(test, (t) => {
      const scene = new Scene(t, 2)
      t.cpu(0, (cpu) => {
        scene.open(cpu).trySend(1)
      })
      t.kill(0, {
        reaper: () => {
          const isLost = scene.isEmpty
          scene.reap(0)
          // If it was not sent, the reaper sends one, and wakes for that.
          if (isLost) scene.openAgain(0).trySend(2)
          return isLost
        },
      })
      t.cpu(1, (cpu) => orGaveUp(() => scene.open(cpu).receive()))
      t.finally(([, received]) => {
        assert.ok(received === 1 || received === 2 || received === 'gave up')
        scene.locks.assertIdle()
      })
    })
  })
})
