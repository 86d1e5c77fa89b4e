/** The mutex, under every interleaving of two or three CPUs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { isTimeout, Locks, openMutex } from './support/locks.js'

/** A mutex and a plain word that it protects. */
function setUp(
  t: Scenario,
  cpus: number,
): { locks: Locks; word: number; increment: () => void; count: () => number } {
  const locks = new Locks(t, cpus)
  const { i32 } = locks.memory
  const data = locks.words(1)
  const count = (): number => mem.load32(i32, data)
  const increment = (): void => mem.store32(i32, data, count() + 1)
  return { locks, word: locks.mutex(), increment, count }
}

describe('a mutex', () => {
  it('lets one of two CPUs in at a time, and the other one afterwards', async (test) => {
    await explore(test, (t) => {
      const { locks, word, increment, count } = setUp(t, 2)
      for (const n of [0, 1])
        t.cpu(n, (cpu) => {
          const guard = openMutex(locks.state(cpu), word).lock()
          increment()
          guard.unlock()
        })
      t.finally(() => {
        assert.equal(count(), 2)
        locks.assertIdle()
      })
    })
  })

  it('goes round three CPUs', async (test) => {
    await explore(
      test,
      (t) => {
        const { locks, word, increment, count } = setUp(t, 3)
        for (const n of [0, 1, 2])
          t.cpu(n, (cpu) => {
            const guard = openMutex(locks.state(cpu), word).lock()
            increment()
            guard.unlock()
          })
        t.finally(() => {
          assert.equal(count(), 3)
          locks.assertIdle()
        })
      },
      { preemptions: 3 },
    )
  })

  it('is taken by one of two CPUs that try', async (test) => {
    await explore(test, (t) => {
      const { locks, word, increment, count } = setUp(t, 2)
      for (const n of [0, 1])
        t.cpu(n, (cpu) => {
          const guard = openMutex(locks.state(cpu), word).tryLock()
          if (!guard) return 0
          increment()
          guard.unlock()
          return 1
        })
      t.finally((taken) => {
        assert.equal(count(), Number(taken[0]) + Number(taken[1]))
        assert.ok(count() > 0)
        locks.assertIdle()
      })
    })
  })

  it('that is released is got, or given up, by a waiter whose time is over', async (test) => {
    await explore(test, (t) => {
      const { locks, word, increment, count } = setUp(t, 2)
      for (const n of [0, 1])
        t.cpu(n, (cpu) => {
          const mutex = openMutex(locks.state(cpu), word)
          try {
            const guard = mutex.lock({ timeout: 1 })
            increment()
            guard.unlock()
            return 1
          } catch (error) {
            assert.ok(isTimeout(error))
            return 0
          }
        })
      t.finally((taken) => {
        assert.equal(count(), Number(taken[0]) + Number(taken[1]))
        locks.assertIdle()
      })
    })
  })

  it('is passed on by a waiter that gives up', async (test) => {
    await explore(
      test,
      (t) => {
        const { locks, word, increment, count } = setUp(t, 3)
        t.cpu(0, (cpu) => {
          const state = locks.state(cpu)
          const guard = cpu.prepare(() => openMutex(state, word).lock())
          increment()
          guard.unlock()
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            const mutex = openMutex(locks.state(cpu), word)
            try {
              const guard = mutex.lock(n === 1 ? { timeout: 1 } : {})
              increment()
              guard.unlock()
              return 1
            } catch (error) {
              assert.ok(isTimeout(error))
              return 0
            }
          })
        t.finally((taken) => {
          assert.equal(taken[2], 1)
          assert.equal(count(), 2 + Number(taken[1]))
          locks.assertIdle()
        })
      },
      { preemptions: 1 },
    )
  })
})

describe('a mutex whose tasks wait asynchronously', () => {
  it('is got by both', async (test) => {
    await explore(test, (t) => {
      const { locks, word, increment, count } = setUp(t, 2)
      for (const n of [0, 1])
        t.cpu(n, async (cpu) => {
          const guard = await openMutex(locks.state(cpu, true), word).lockAsync()
          increment()
          guard.unlock()
        })
      t.finally(() => {
        assert.equal(count(), 2)
        locks.assertIdle()
      })
    })
  })

  it('is passed on by a task whose wait is aborted', async (test) => {
    await explore(test, (t) => {
      const { locks, word, increment, count } = setUp(t, 2)
      t.cpu(0, (cpu) => {
        const state = locks.state(cpu)
        const guard = cpu.prepare(() => openMutex(state, word).lock())
        increment()
        guard.unlock()
      })
      t.cpu(1, async (cpu) => {
        const mutex = openMutex(locks.state(cpu, true), word)
        const controller = new AbortController()
        const reason = new Error('enough')
        const first = mutex.lockAsync({ signal: controller.signal })
        const second = mutex.lockAsync()
        setImmediate(() => controller.abort(reason))
        let taken = 0
        for (const wait of [first, second])
          await wait.then(
            (guard) => {
              increment()
              taken++
              guard.unlock()
            },
            (error: unknown) => assert.equal(error, reason),
          )
        return taken
      })
      t.finally(([, taken]) => {
        assert.equal(count(), 1 + Number(taken))
        locks.assertIdle()
      })
    })
  })
})
