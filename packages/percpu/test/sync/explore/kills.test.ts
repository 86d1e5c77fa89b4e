/** Kills where several objects or several waiters are concerned. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import {
  Locks,
  openCompletion,
  openCondition,
  openMutex,
  openSemaphore,
  openSeqlock,
} from './support/locks.js'

const { struct, racy, i32 } = percpu
const Data = struct('Data', { a: racy(i32), b: racy(i32) })

describe('a CPU that is killed', () => {
  it('while it waits for a condition leaves the notification to another one', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const [word, mutexWord, permits] = [locks.condition(), locks.mutex(), locks.words(1)]
        const view = locks.memory.i32
        const open = (cpu: CpuContext) => {
          const state = locks.state(cpu)
          const mutex = openMutex(state, mutexWord)
          return [mutex, openCondition(state, word, mutex)] as const
        }
        t.cpu(0, (cpu) => {
          const [mutex, condition] = open(cpu)
          for (let i = 0; i < 2; i++) {
            const guard = mutex.lock()
            mem.store32(view, permits, mem.load32(view, permits) + 1)
            condition.notify()
            guard.unlock()
          }
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            const [mutex, condition] = open(cpu)
            const guard = mutex.lock()
            while (mem.load32(view, permits) === 0) condition.wait(guard)
            mem.store32(view, permits, mem.load32(view, permits) - 1)
            guard.unlock()
            return true
          })
        t.kill(1, { reaper: () => void locks.recover(1) })
        t.finally(([, , other]) => {
          assert.equal(other, true)
          locks.assertIdle()
        })
      },
      { mode: 'pct', depth: 4, executions: 3000, seed: 5 },
    )
  })

  it('with a mutex inside another one leaves both free', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const [outer, inner, data] = [locks.mutex('outer'), locks.mutex('inner'), locks.words(1)]
        const view = locks.memory.i32
        t.cpu(0, (cpu) => {
          const state = locks.state(cpu)
          const second = openMutex(state, inner)
          openMutex(state, outer).run((section) => {
            second.run((nested) => {
              nested.write32(data, 2)
            })
            section.write32(data, 0)
          })
        })
        t.cpu(1, (cpu) => {
          const guard = openMutex(locks.state(cpu), inner).lock()
          const seen = mem.load32(view, data)
          guard.unlock()
          return seen
        })
        t.kill(0, { reaper: () => void locks.recover(0) })
        t.finally(([, seen]) => {
          // The inner mutex is released with the outer section, when its change can no longer be
          // taken back.
          assert.equal(seen, 0)
          locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })

  it('in the middle of completeAll is finished by its reaper', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.completion()
        t.cpu(0, (cpu) => {
          openCompletion(locks.state(cpu), word).completeAll()
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            openCompletion(locks.state(cpu), word).wait()
          })
        t.kill(0, {
          reaper: (cpu) => {
            const state = locks.state(cpu)
            locks.recover(0)
            const completion = openCompletion(state, word)
            if (!completion.isDone) completion.completeAll()
          },
        })
        t.finally(() => {
          locks.assertIdle()
        })
      },
      { preemptions: 0 },
    )
  })

  it('with permits of which others want different numbers gives them back', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.semaphore(3)
        for (const [n, count] of [3, 2, 1].entries())
          t.cpu(n, (cpu) => {
            const semaphore = openSemaphore(locks.state(cpu), word)
            semaphore.acquire(count).release()
          })
        t.kill(0, { reaper: () => void locks.recover(0) })
        t.finally(() => {
          assert.equal(Number(mem.loadAtomicU64(locks.memory.u64, word / 2) & 0xffffffn), 3)
          locks.assertIdle()
        })
      },
      { mode: 'pct', depth: 4, executions: 3000, seed: 5 },
    )
  })

  it('while it reads a seqlock under the mutex keeps no writer out', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 2)
        const [word, data] = [locks.seqlock(), locks.lock(Data, 'data')]
        const view = locks.memory.i32
        t.cpu(0, (cpu) => {
          openSeqlock(locks.state(cpu), word).write((section) => {
            section.write32(data, 1)
            section.write32(data + 1, 1)
          })
        })
        t.cpu(1, (cpu) => {
          const seqlock = openSeqlock(locks.state(cpu), word)
          return seqlock.read(() => [mem.load32(view, data), mem.load32(view, data + 1)])
        })
        t.kill(1, { reaper: () => void locks.recover(1) })
        t.finally(([, seen]) => {
          const [a, b] = (seen ?? [0, 0]) as [number, number]
          assert.equal(a, b)
          assert.equal(mem.load32(view, data), 1)
          locks.assertIdle()
        })
      },
      { preemptions: 2 },
    )
  })
})
