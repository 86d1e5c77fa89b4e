/** The mutex, under every interleaving of two or three CPUs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { explore, mem, type Scenario } from 'percpu-lab'
import type { LockTimeoutError } from 'percpu'
import { Locks, openMutex } from './support/locks.js'

/** A mutex and a plain word that it protects. */
function setUp(t: Scenario, cpus: number): { locks: Locks; word: number; increment: () => void; count: () => number } {
  const locks = new Locks(t, cpus)
  const { i32 } = locks.memory
  const data = locks.words(1)
  const count = (): number => mem.load32(i32, data)
  const increment = (): void => mem.store32(i32, data, count() + 1)
  return { locks, word: locks.mutex(), increment, count }
}

describe('a mutex', () => {
  it('lets one of two CPUs in at a time, and the other one afterwards', async () => {
    await explore(
      'lock and unlock',
      (t) => {
        const { locks, word, increment, count } = setUp(t, 2)
        for (const n of [0, 1])
          t.cpu(n, (cpu) => {
            const guard = openMutex(locks.core(cpu), word).lock()
            increment()
            guard.unlock()
          })
        t.finally(() => {
          assert.equal(count(), 2)
          locks.assertIdle()
        })
      },
      { expect: { executions: 0, blocked: 0 } },
    )
  })

  it('is taken by one of two CPUs that try', async () => {
    await explore(
      'two tries',
      (t) => {
        const { locks, word, increment, count } = setUp(t, 2)
        for (const n of [0, 1])
          t.cpu(n, (cpu) => {
            const guard = openMutex(locks.core(cpu), word).tryLock()
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
      },
      { expect: { executions: 0, blocked: 0 } },
    )
  })

  it('is passed on by a waiter that gives up', async () => {
    await explore(
      'giving up',
      (t) => {
        const { locks, word, increment, count } = setUp(t, 3)
        t.cpu(0, (cpu) => {
          const guard = cpu.prepare(() => openMutex(locks.core(cpu.number), word).lock())
          increment()
          guard.unlock()
        })
        for (const n of [1, 2])
          t.cpu(n, (cpu) => {
            const mutex = openMutex(locks.core(cpu), word)
            try {
              const guard = mutex.lock(n === 1 ? { timeout: 5 } : {})
              increment()
              guard.unlock()
              return 1
            } catch (error) {
              assert.equal((error as LockTimeoutError).code, 'PERCPU_LOCK_TIMEOUT')
              return 0
            }
          })
        t.finally((taken) => {
          assert.equal(taken[2], 1)
          assert.equal(count(), 2 + Number(taken[1]))
          locks.assertIdle()
        })
      },
      { expect: { executions: 0, blocked: 0 }, maxMs: 20000, preemptions: 2 },
    )
  })

  for (const victim of ['the owner', 'a waiter'] as const)
    it(`is passed on when ${victim} is killed anywhere, and tells the next owner`, async () => {
      await explore(
        `${victim} is killed`,
        (t) => {
          const { locks, word } = setUp(t, 2)
          const data = locks.words(1)
          const { i32 } = locks.memory
          const dies = victim === 'the owner' ? 0 : 1
          for (const n of [0, 1])
            t.cpu(n, (cpu) => {
              const core = locks.core(cpu)
              const mutex = openMutex(core, word)
              const guard = n === 0 ? cpu.prepare(() => mutex.lock()) : mutex.lock()
              const left = mem.load32(i32, data)
              mem.store32(i32, data, 1)
              mem.store32(i32, data, 0)
              guard.unlock()
              return { left, died: guard.predecessorDied }
            })
          t.kill(dies, {
            reaper: () => {
              locks.recover(dies)
            },
          })
          t.finally((results) => {
            const other = results[1 - dies] as { left: number; died: boolean } | undefined
            assert.ok(other, 'the other one never got it')
            assert.ok(other.died || other.left === 0, 'nobody told that the owner died')
            locks.assertIdle()
          })
        },
        { expect: { executions: 0, blocked: 0 } },
      )
    })
})
