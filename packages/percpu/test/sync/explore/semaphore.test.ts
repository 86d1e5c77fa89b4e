/** Semaphores: as many permits at the end as at the beginning, whoever gives up or is killed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { isTimeout, Locks, openSemaphore } from './support/locks.js'

function contend(t: Scenario, cpus: number, permits: number, timeout?: number): Locks {
  const locks = new Locks(t, cpus)
  const word = locks.semaphore(permits)
  const inside = locks.words(1)
  const { i32, u64 } = locks.memory
  for (let n = 0; n < cpus; n++)
    t.cpu(n, (cpu) => {
      const semaphore = openSemaphore(locks.state(cpu), word)
      let permit
      try {
        permit = semaphore.acquire(1, n === 0 || timeout === undefined ? {} : { timeout })
      } catch (error) {
        assert.ok(isTimeout(error))
        return false
      }
      if (permits === 1) mem.store32(i32, inside, n)
      permit.release()
      return true
    })
  t.finally(() => {
    assert.equal(Number(mem.loadAtomicU64(u64, word / 2) & 0xffffffn), permits)
    locks.assertIdle()
  })
  return locks
}

describe('a semaphore', () => {
  it('lets in as many as it has permits', async (test) => {
    await explore(test, (t) => void contend(t, 2, 1))
  })

  it('loses nothing by a waiter that gives up', async (test) => {
    await explore(test, (t) => void contend(t, 2, 1, 1))
  })

  it('serves three CPUs with two permits', async (test) => {
    await explore(test, (t) => void contend(t, 3, 2), { preemptions: 1 })
  })

  it('gets back what a CPU held that is killed anywhere', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = contend(t, 2, 1)
        t.kill(0, { reaper: () => void locks.recover(0) })
      },
      { preemptions: 0 },
    )
  })

  it('gets it back once, also when the reaper is killed', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = new Locks(t, 3)
        const word = locks.semaphore(2)
        // A thread that just ends, with a permit.
        t.cpu(0, (cpu) => {
          const state = locks.state(cpu)
          cpu.prepare(() => openSemaphore(state, word).acquire())
        })
        t.cpu(1, (cpu) => {
          const semaphore = openSemaphore(locks.state(cpu), word)
          semaphore.acquire(2).release()
        })
        const reaper = (): void => void locks.recover(0)
        t.cpu(2, reaper)
        t.kill(2, { reaper })
        t.finally(() => {
          assert.equal(Number(mem.loadAtomicU64(locks.memory.u64, word / 2) & 0xffffffn), 2)
          locks.assertIdle()
        })
      },
      { preemptions: 1 },
    )
  })

  it('keeps its permits with three CPUs, of which one is killed', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = contend(t, 3, 1, 1)
        t.kill(1, { reaper: () => void locks.recover(1) })
      },
      { mode: 'pct', executions: 2000, seed: 3 },
    )
  })
})
