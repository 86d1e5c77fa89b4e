/** A CPU that was rung and came too late: the mutex is handed to it, or to the next one if it gives up. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, type CpuContext, type Scenario } from 'percpu-lab'
import { explore } from '../../support/explore.js'
import { Locks, openMutex } from './support/locks.js'

const { Deadline } = await import('../../../dist/machine/wait-options.js')
const KIND_MUTEX = 0

/** CPU 0 has the mutex, and knows that CPU 1 waits for it; `waiter` is what that one does after its first ring. */
function handOver(t: Scenario, cpus: number, waiter: (core: Core, word: number, cpu: CpuContext) => unknown) {
  const locks = new Locks(t, cpus)
  const word = locks.mutex()
  t.cpu(0, (cpu) => {
    const core = locks.core(cpu)
    const guard = cpu.prepare(() => openMutex(core, word).lock())
    guard.unlock()
  })
  t.cpu(1, (cpu) => {
    const core = locks.core(cpu)
    const place = cpu.prepare(() => {
      const entered = core.interests.enter(word, KIND_MUTEX, {})
      core.protocol.enter(word)
      core.protocol.isAvailableOrMarked(word)
      return entered
    })
    core.protocol.insist(word)
    const result = waiter(core, word, cpu)
    core.interests.leave(place)
    return result
  })
  t.finally(() => locks.assertIdle())
  return { locks, word }
}
type Core = ReturnType<Locks['core']>

/** Waits as Mutex does. `looked` is told of each look that found it taken. */
function take({ protocol, waiting }: Core, word: number, looked: () => void): void {
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
        const { locks, word } = handOver(t, 3, (core, mutex) => {
          const { i32 } = core.memory
          // How many turns the others had had when the owner knew.
          let before = Infinity
          take(core, mutex, () => (before = Math.min(before, mem.loadAtomic32(i32, turns))))
          const overtakes = mem.loadAtomic32(i32, turns) - before
          core.protocol.release(mutex)
          return overtakes
        })
        t.cpu(2, (cpu) => {
          const mutex = openMutex(locks.core(cpu), word)
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
        const { locks, word } = handOver(t, 3, (core, mutex) => core.protocol.withdraw(mutex))
        t.cpu(2, (cpu) => {
          openMutex(locks.core(cpu), word).lock().unlock()
        })
      },
      { preemptions: 2 },
    )
  })

  it('goes to another one when it is killed anywhere', async (test) => {
    await explore(
      test,
      (t) => {
        const { locks, word } = handOver(t, 3, (core, mutex) => {
          take(core, mutex, () => undefined)
          core.protocol.release(mutex)
        })
        t.cpu(2, (cpu) => {
          openMutex(locks.core(cpu), word).lock().unlock()
        })
        t.kill(1, { reaper: () => void locks.recover(1) })
      },
      { preemptions: 0 },
    )
  })

  it('goes to it when its owner is killed anywhere', async (test) => {
    await explore(test, (t) => {
      const { locks } = handOver(t, 2, (core, mutex) => {
        take(core, mutex, () => undefined)
        core.protocol.release(mutex)
      })
      t.kill(0, { reaper: () => void locks.recover(0) })
    })
  })
})
