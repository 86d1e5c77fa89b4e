/**
 * Tasks that wait asynchronously: several of one CPU, with aborts, and killed with their thread.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openCompletion, openCondition, openMutex, openSemaphore } from './support/locks.js'

describe('tasks', () => {
  it('of one CPU get a mutex one after the other, and those of another CPU too', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const [word, data] = [locks.mutex(), locks.words(1)]
        const { i32 } = locks.memory
        const increment = (): void => mem.store32(i32, data, mem.load32(i32, data) + 1)
        t.cpu(0, async (cpu) => {
          const mutex = openMutex(locks.state(cpu, true), word)
          const task = async (): Promise<void> => {
            const guard = await mutex.lockAsync()
            increment()
            await Promise.resolve()
            guard.unlock()
          }
          await Promise.all([task(), task()])
        })
        t.cpu(1, (cpu) => {
          const guard = openMutex(locks.state(cpu), word).lock()
          increment()
          guard.unlock()
        })
        t.finally(() => {
          assert.equal(mem.load32(i32, data), 3)
          locks.assertIdle()
        })
      },
      { preemptions: 3 },
    )
  })

  it('that wait for a mutex pass it on when they are killed', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const word = locks.mutex()
        t.cpu(0, async (cpu) => {
          const guard = await openMutex(locks.state(cpu, true), word).lockAsync()
          await Promise.resolve()
          guard.unlock()
        })
        t.cpu(1, (cpu) => {
          const mutex = openMutex(locks.state(cpu), word)
          mutex.lock().unlock()
          mutex.lock().unlock()
        })
        t.kill(0, { reaper: () => void locks.recover(0) })
        t.finally(() => {
          locks.assertIdle()
        })
      },
      { preemptions: 1 },
    )
  })

  it('that give up a completion leave it to others', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const word = locks.completion()
        t.cpu(0, (cpu) => {
          openCompletion(locks.state(cpu), word).complete()
        })
        t.cpu(1, async (cpu) => {
          const completion = openCompletion(locks.state(cpu, true), word)
          const controller = new AbortController()
          const { signal } = controller
          setImmediate(() => {
            controller.abort(new Error('enough'))
          })
          const first = completion.waitAsync({ signal }).then(
            () => 1,
            () => 0,
          )
          if ((await first) === 0) await completion.waitAsync()
        })
        t.finally(() => {
          assert.equal(mem.load32(locks.memory.i32, word), 0)
          locks.assertIdle()
        })
      },
      { preemptions: 3 },
    )
  })

  it('that give up permits leave them to others', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const word = locks.semaphore(2)
        t.cpu(0, (cpu) => {
          const semaphore = openSemaphore(locks.state(cpu), word)
          semaphore.acquire(2).release()
        })
        t.cpu(1, async (cpu) => {
          const semaphore = openSemaphore(locks.state(cpu, true), word)
          const controller = new AbortController()
          const { signal } = controller
          setImmediate(() => {
            controller.abort(new Error('enough'))
          })
          const both = semaphore.acquireAsync(2, { signal }).then(
            (permits) => permits,
            () => undefined,
          )
          const one = semaphore.acquireAsync(1).then((permit) => {
            permit.release()
          })
          ;(await both)?.release()
          await one
        })
        t.finally(() => {
          assert.equal(Number(mem.loadAtomicU64(locks.memory.u64, word / 2) & 0xffffffn), 2)
          locks.assertIdle()
        })
      },
      { preemptions: 3 },
    )
  })

  it('that wait for a condition are notified, or aborted', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const [word, mutexWord, flag] = [locks.condition(), locks.mutex(), locks.words(1)]
        const { i32 } = locks.memory
        t.cpu(0, (cpu) => {
          const state = locks.state(cpu)
          const mutex = openMutex(state, mutexWord)
          const condition = openCondition(state, word, mutex)
          const guard = mutex.lock()
          mem.store32(i32, flag, 1)
          condition.notify()
          guard.unlock()
        })
        t.cpu(1, async (cpu) => {
          const state = locks.state(cpu, true)
          const mutex = openMutex(state, mutexWord)
          const condition = openCondition(state, word, mutex)
          const guard = cpu.prepare(() => mutex.lock())
          const controller = new AbortController()
          const reason = new Error('enough')
          setImmediate(() => {
            controller.abort(reason)
          })
          let aborted = false
          try {
            await condition.waitAsync(guard, { signal: controller.signal })
          } catch (error) {
            assert.equal(error, reason)
            aborted = true
          }
          const seen = mem.load32(i32, flag)
          guard.unlock()
          return { aborted, seen }
        })
        t.finally(([, end]) => {
          const { aborted, seen } = end as { aborted: boolean; seen: number }
          assert.ok(aborted || seen === 1, 'woken for nothing')
          locks.assertIdle()
        })
      },
      { preemptions: 3 },
    )
  })
})
