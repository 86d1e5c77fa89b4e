/**
 * Completions and conditions: nobody sleeps through what was announced, whoever gives up or is
 * killed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Condition, Mutex } from 'percpu'
import { mem, type CpuContext } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { isTimeout, Locks, openCompletion, openCondition, openMutex } from './support/locks.js'

describe('a completion', () => {
  it('ends the wait that it is for, and shows what was written before', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 2)
      const word = locks.completion()
      const data = locks.words(1)
      const { i32 } = locks.memory
      t.cpu(0, (cpu) => {
        const completion = openCompletion(locks.state(cpu), word)
        mem.store32(i32, data, 1)
        completion.complete()
      })
      t.cpu(1, (cpu) => {
        openCompletion(locks.state(cpu), word).wait()
        return mem.load32(i32, data)
      })
      t.finally(([, seen]) => {
        assert.equal(seen, 1)
        assert.equal(mem.load32(i32, word), 0)
        locks.assertIdle()
      })
    })
  })

  it('ends two waits when two CPUs complete', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.completion()
        for (const n of [0, 1])
          t.cpu(n, (cpu) => {
            openCompletion(locks.state(cpu), word).complete()
          })
        t.cpu(2, (cpu) => {
          const completion = openCompletion(locks.state(cpu), word)
          completion.wait()
          completion.wait()
        })
        t.finally(() => {
          assert.equal(mem.load32(locks.memory.i32, word), 0)
          locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })

  it('that is rung to a waiter whose time is over reaches another one', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.completion()
        t.cpu(0, (cpu) => {
          const completion = openCompletion(locks.state(cpu), word)
          completion.complete()
          completion.complete()
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            try {
              openCompletion(locks.state(cpu), word).wait(n === 1 ? { timeout: 1 } : {})
              return 1
            } catch (error) {
              assert.ok(isTimeout(error))
              return 0
            }
          })
        t.finally(([, first]) => {
          assert.equal(mem.load32(locks.memory.i32, word), 1 - Number(first))
          locks.assertIdle()
        })
      },
      { preemptions: 1 },
    )
  })

  it('of a CPU that is killed anywhere has come, or has not', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 2)
      const word = locks.completion()
      t.cpu(0, (cpu) => {
        openCompletion(locks.state(cpu), word).complete()
      })
      t.cpu(1, (cpu) => {
        openCompletion(locks.state(cpu), word).wait()
      })
      t.kill(0, {
        reaper: (cpu) => {
          const state = locks.state(cpu)
          const waits = mem.loadAtomic32(locks.memory.i32, word + 1) !== 0
          locks.recover(0)
          // What it had not announced yet another one does; what it had, its reaper must ring.
          const completion = openCompletion(state, word)
          if (!completion.isDone) completion.complete()
          return waits
        },
      })
      t.finally(() => locks.assertIdle())
    })
  })

  it('that is rung to a waiter which is killed reaches another one', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.completion()
        t.cpu(0, (cpu) => {
          const completion = openCompletion(locks.state(cpu), word)
          completion.complete()
          completion.complete()
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            openCompletion(locks.state(cpu), word).wait()
          })
        t.kill(1, { reaper: () => void locks.recover(1) })
        t.finally(() => locks.assertIdle())
      },
      { preemptions: 0 },
    )
  })
})

describe('a condition', () => {
  for (const how of ['notify', 'notifyAll'] as const)
    it(`wakes its waiter by ${how}`, async (test) => {
      await explore(test, (t) => {
        const locks = new Locks(t, 2)
        const [word, mutexWord, flag] = [locks.condition(), locks.mutex(), locks.words(1)]
        const { i32 } = locks.memory
        t.cpu(0, (cpu) => {
          const state = locks.state(cpu)
          const mutex = openMutex(state, mutexWord)
          const condition = openCondition(state, word, mutex)
          const guard = mutex.lock()
          mem.store32(i32, flag, 1)
          condition[how]()
          guard.unlock()
        })
        t.cpu(1, (cpu) => {
          const state = locks.state(cpu)
          const mutex = openMutex(state, mutexWord)
          const condition = openCondition(state, word, mutex)
          const guard = mutex.lock()
          while (mem.load32(i32, flag) === 0) condition.wait(guard)
          guard.unlock()
        })
        t.finally(() => locks.assertIdle())
      })
    })

  it('wakes two waiters when it is notified twice', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const [word, mutexWord, permits] = [locks.condition(), locks.mutex(), locks.words(1)]
        const { i32 } = locks.memory
        const open = (cpu: CpuContext): readonly [Mutex, Condition] => {
          const state = locks.state(cpu)
          const mutex = openMutex(state, mutexWord)
          return [mutex, openCondition(state, word, mutex)]
        }
        t.cpu(0, (cpu) => {
          const [mutex, condition] = open(cpu)
          for (let i = 0; i < 2; i++) {
            const guard = mutex.lock()
            mem.store32(i32, permits, mem.load32(i32, permits) + 1)
            condition.notify()
            guard.unlock()
          }
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            const [mutex, condition] = open(cpu)
            const guard = mutex.lock()
            while (mem.load32(i32, permits) === 0) condition.wait(guard)
            mem.store32(i32, permits, mem.load32(i32, permits) - 1)
            guard.unlock()
          })
        t.finally(() => {
          locks.assertIdle()
        })
      },
      { mode: 'pct', depth: 4, executions: 3000, seed: 2 },
    )
  })

  it('wakes its waiter when the notifier is killed after its change', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 2)
      const [word, mutexWord, flag] = [locks.condition(), locks.mutex(), locks.words(1)]
      const { i32 } = locks.memory
      t.cpu(0, (cpu) => {
        const state = locks.state(cpu)
        const mutex = openMutex(state, mutexWord)
        const condition = openCondition(state, word, mutex)
        const guard = cpu.prepare(() => mutex.lock())
        mem.store32(i32, flag, 1)
        condition.notify()
        guard.unlock()
      })
      t.cpu(1, (cpu) => {
        const state = locks.state(cpu)
        const mutex = openMutex(state, mutexWord)
        const condition = openCondition(state, word, mutex)
        const guard = mutex.lock()
        while (mem.load32(i32, flag) === 0 && !guard.predecessorDied) condition.wait(guard)
        guard.unlock()
      })
      t.kill(0, { reaper: () => void locks.recover(0) })
      t.finally(() => locks.assertIdle())
    })
  })
})
