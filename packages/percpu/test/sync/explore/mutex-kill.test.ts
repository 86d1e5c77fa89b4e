/**
 * A mutex whose owner, waiter or reaper is killed before any of its accesses: the next one gets it,
 * and is told.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type KillSettings, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openMutex } from './support/locks.js'

interface Turn {
  /** What the owner before left: 1 if it was in the middle of its change. */
  readonly left: number
  readonly died: boolean
}

/** CPU 0 has the mutex, others want it; each has a change of two steps to make. */
function contend(t: Scenario, cpus: number): Locks {
  const locks = new Locks(t, cpus)
  const word = locks.mutex()
  const data = locks.words(1)
  const { i32 } = locks.memory
  for (let n = 0; n < cpus; n++)
    t.cpu(n, (cpu): Turn => {
      const mutex = openMutex(locks.state(cpu), word)
      const guard = n === 0 ? cpu.prepare(() => mutex.lock()) : mutex.lock()
      const left = mem.load32(i32, data)
      mem.store32(i32, data, 1)
      mem.store32(i32, data, 0)
      guard.unlock()
      return { left, died: guard.predecessorDied }
    })
  return locks
}

function check(t: Scenario, locks: Locks, victim: number): void {
  t.finally((results) => {
    const turns = results as (Turn | undefined)[]
    const others = turns.filter((_, cpu) => cpu !== victim)
    for (const turn of others) {
      assert.ok(turn, 'the mutex was not passed on')
      assert.ok(turn.died || turn.left === 0, 'nobody told that the owner died')
    }
    // Whoever comes after the one that was told finds it in order.
    assert.ok(others.filter((turn) => turn?.died === true).length <= 1)
    assert.ok(turns[victim] === undefined || others.every((turn) => turn?.died === false))
    locks.assertIdle()
  })
}

describe('a mutex is passed on', () => {
  const reaperOf = (locks: Locks, victim: number): KillSettings => ({
    reaper: () => {
      locks.recover(victim)
    },
  })
  for (const [victim, who] of ['the owner', 'the waiter'].entries())
    it(`when ${who} is killed anywhere`, async (test) => {
      await explore(test, (t) => {
        const locks = contend(t, 2)
        t.kill(victim, reaperOf(locks, victim))
        check(t, locks, victim)
      })
    })

  it('when one of two waiters is killed anywhere', async (test) => {
    await explore(
      test,
      (t) => {
        const locks = contend(t, 3)
        t.kill(1, reaperOf(locks, 1))
        check(t, locks, 1)
      },
      { preemptions: 0 },
    )
  })

  it('when its reaper is killed anywhere, too, and the next reaper comes', async (test) => {
    await explore(test, (t) => {
      const locks = new Locks(t, 3)
      const word = locks.mutex()
      // The owner's thread just ends.
      t.cpu(0, (cpu) => {
        const state = locks.state(cpu)
        cpu.prepare(() => openMutex(state, word).lock())
      })
      t.cpu(1, (cpu) => {
        const guard = openMutex(locks.state(cpu), word).lock()
        guard.unlock()
        return guard.predecessorDied
      })
      const reaper = (): void => void locks.recover(0)
      t.cpu(2, reaper)
      t.kill(2, { reaper })
      t.finally(([, died]) => {
        assert.equal(died, true)
        locks.assertIdle()
      })
    })
  })

  it('when one of three CPUs is killed that take turns', async (test) => {
    for (const victim of [0, 1, 2])
      await explore(
        test,
        (t) => {
          const locks = contend(t, 3)
          t.kill(victim, reaperOf(locks, victim))
          check(t, locks, victim)
        },
        { variant: `CPU ${victim}`, mode: 'pct', executions: 3000, seed: 7 },
      )
  })
})
