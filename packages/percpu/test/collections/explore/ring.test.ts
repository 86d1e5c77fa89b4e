/**
 * A ring that several CPUs use at the same time, in every order of their accesses; one of them may
 * be killed anywhere. What their calls give is what one queue would give, and nobody sleeps for
 * ever. The shipped modules over a bare memory: joining a machine would be most of each execution.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type CpuContext, type Scenario } from 'percpu-lab'
import type { SharedRing as Ring } from 'percpu'
import { explore } from '../../support/explore.js'
import { isTimeout, Locks } from '../../sync/explore/support/locks.js'

const { REASON_WAKE } = await import('../../../dist/cpus/ringer.js')
const { WaitQueue } = await import('../../../dist/sync/wait-queue.js')
const { SharedRing } = await import('../../../dist/collections/ring/ring.js')
const { RingRoot } = await import('../../../dist/collections/ring/ring-layout.js')
const { initialiseRing, isEmpty, openRing, ringBytes } =
  await import('../../../dist/collections/ring/place.js')
const { valueCodecs } = await import('../../../dist/collections/values.js')

type Numbers = Ring<number>
/** The declarations of the library leave the constructor out. */
type Constructor = new (
  name: string,
  place: object,
  codec: object,
  isFixed: boolean,
  parts: object,
) => Numbers
const NumberRing = SharedRing as unknown as Constructor
/** Words: room for two messages, the second of which goes around the end of the buffer. */
const CAPACITY = 5

/** What a ring is. */
class Queue {
  messages: number[] = []
  isClosed = false
  trySend(message: number): boolean {
    if (this.isClosed) throw Object.assign(new Error('closed'), { code: 'PERCPU_RING_CLOSED' })
    if (this.messages.length === 2) return false
    this.messages.push(message)
    return true
  }
  tryReceive(): number | undefined {
    return this.messages.shift()
  }
  isEnded(): boolean {
    return this.isClosed && this.messages.length === 0
  }
  close(): void {
    this.isClosed = true
  }
}
/** One that has two messages. */
class Full extends Queue {
  override messages = [1, 2]
}

/** A wait for the other end of a lock may end any time. */
function orGaveUp<Result>(call: () => Result): Result | 'gave up' {
  try {
    return call()
  } catch (error) {
    if (!isTimeout(error)) throw error
    return 'gave up'
  }
}

/** A ring, and the memory of those who use it. */
class Scene {
  readonly locks: Locks
  readonly #address: number
  readonly #cpus: number

  constructor(t: Scenario, cpus: number, messages: readonly number[] = [], capacity = CAPACITY) {
    this.#cpus = cpus
    this.locks = new Locks(t, cpus)
    const words = t.words(ringBytes(capacity) / 4 + 16)
    this.#address = Math.ceil((words.base * 4) / 64) * 64
    t.name(this.locks.memory, this.#address, RingRoot, 'ring')
    initialiseRing(this.locks.memory, this.#address, capacity)
    const ring = this.#open(0)
    ring.trySend(0)
    ring.tryReceive()
    for (const message of messages) ring.trySend(message)
  }

  open(cpu: CpuContext, hears = false): Numbers {
    return cpu.prepare(() => this.#open(cpu.number, hears))
  }
  #open(cpu: number, hears = false): Numbers {
    const { locks } = this
    const state = locks.state(cpu, hears)
    const queue = (mask: number, address: number, name: string) => new WaitQueue(state, mask, address, name)
    const parts = {
      own: Object.assign(state.own, { map: { cpus: this.#cpus } }),
      sync: { state, queue },
      lock: locks.layerLock(cpu),
    }
    const place = openRing(locks.memory, this.#address)
    return new NumberRing('r', place, valueCodecs.i32, true, parts)
  }

  /** In the place of a CPU that has died. */
  openAgain(cpu: number): Numbers {
    return this.#open(cpu)
  }
  get isEmpty(): boolean {
    return isEmpty(openRing(this.locks.memory, this.#address))
  }

  /** What the reaper does, in the order of the supervisor. */
  reap(cpu: number): void {
    const { doorbell } = this.locks.state(cpu).own
    for (let other = 0; other < this.#cpus; other++) doorbell.ringer.ring(other, REASON_WAKE)
    this.locks.recover(cpu)
  }
}

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
