/**
 * A CPU that was rung and came too late: the mutex is handed to it, or to the next one if it gives
 * up.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type CpuContext, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openMutex } from './support/locks.js'

const { Deadline } = await import('../../../dist/machine/wait-options.js')
const KIND_MUTEX = 0

/**
 * CPU 0 has the mutex, and knows that CPU 1 waits for it; `waiter` is what that one does after its
 * first ring.
 */
function handOver(
  t: Scenario,
  cpus: number,
  waiter: (state: State, word: number, cpu: CpuContext) => unknown,
) {
  const locks = new Locks(t, cpus)
  const word = locks.mutex()
  t.cpu(0, (cpu) => {
    const state = locks.state(cpu)
    const guard = cpu.prepare(() => openMutex(state, word).lock())
    guard.unlock()
  })
  t.cpu(1, (cpu) => {
    const state = locks.state(cpu)
    const place = cpu.prepare(() => {
      const entered = state.heldLocks.enter(word, KIND_MUTEX, {})
      state.protocol.enter(word)
      state.protocol.isAvailableOrMarked(word)
      return entered
    })
    state.protocol.insist(word)
    const result = waiter(state, word, cpu)
    state.heldLocks.leave(place)
    return result
  })
  t.finally(() => locks.assertIdle())
  return { locks, word }
}
type State = ReturnType<Locks['state']>

/** Waits as Mutex does. `looked` is told of each look that found it taken. */
function take({ protocol, waiting }: State, word: number, looked: () => void): void {
  const isReady = (): boolean => {
    const isAvailable = protocol.isAvailableOrMarked(word)
    if (!isAvailable) looked()
    return isAvailable
  }
  do waiting.sleep(isReady, new Deadline())
  while (protocol.take(word) === undefined)
  protocol.leave(word)
}

describe('a mutex that an impatient CPU waits for', () => {
  it('is handed to it before others have had it more than twice', async (test) => {
    await explore(
      test,
      (t) => {
        const turns = t.words(1).base
        const { locks, word } = handOver(t, 3, (state, mutex) => {
          const { i32 } = state.memory
          // How many turns the others had had when the owner knew.
          let before = Infinity
          take(state, mutex, () => (before = Math.min(before, mem.loadAtomic32(i32, turns))))
          const overtakes = mem.loadAtomic32(i32, turns) - before
          state.protocol.release(mutex)
          return overtakes
        })
        t.cpu(2, (cpu) => {
          const mutex = openMutex(locks.state(cpu), word)
          for (let i = 0; i < 3; i++) {
            const guard = mutex.lock()
            mem.addAtomic32(locks.memory.i32, turns, 1)
            guard.unlock()
          }
        })
        t.finally(([, overtakes]) => assert.ok((overtakes as number) <= 2, `${String(overtakes)} overtakes`))
      },
      { preemptions: 2 },
    )
  })

  it('goes to another one when it gives up', async (test) => {
    await explore(
      test,
      (t) => {
        const { locks, word } = handOver(t, 3, (state, mutex) => state.protocol.withdraw(mutex))
        t.cpu(2, (cpu) => {
          openMutex(locks.state(cpu), word).lock().unlock()
        })
      },
      { preemptions: 2 },
    )
  })

  it('goes to another one when it is killed anywhere', async (test) => {
    await explore(
      test,
      (t) => {
        const { locks, word } = handOver(t, 3, (state, mutex) => {
          take(state, mutex, () => undefined)
          state.protocol.release(mutex)
        })
        t.cpu(2, (cpu) => {
          openMutex(locks.state(cpu), word).lock().unlock()
        })
        t.kill(1, { reaper: () => void locks.recover(1) })
      },
      { preemptions: 0 },
    )
  })

  it('goes to it when its owner is killed anywhere', async (test) => {
    await explore(test, (t) => {
      const { locks } = handOver(t, 2, (state, mutex) => {
        take(state, mutex, () => undefined)
        state.protocol.release(mutex)
      })
      t.kill(0, { reaper: () => void locks.recover(0) })
    })
  })
})
