/** Waits for what a thread has left that has ended, and that nobody supervised. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { tellsOfThreads } from '../../dist/machine/os-thread.js'
import type { CpuTable } from '../../dist/cpus/cpu-table.js'
import { Patrol } from '../../dist/cpus/patrol.js'
import type { LeftBehindData, takes } from './support/left-behind.js'

/** Until a wait has failed. Two patrols take two seconds. */
const wait = { timeout: 20_000 }

interface Case {
  readonly what: keyof typeof takes
  readonly how: string
  /** Waits for what the thread has left. */
  readonly use: (machine: Machine) => unknown
}

const cases: readonly Case[] = [
  {
    what: 'a permit',
    how: 'blocks',
    use: (machine) => {
      machine.locks.semaphore('permits', 1).acquire(1, wait).release()
    },
  },
  {
    what: 'a permit',
    how: 'awaits',
    use: async (machine) => {
      const permits = await machine.locks.semaphore('permits', 1).acquireAsync(1, wait)
      permits.release()
    },
  },
  {
    what: 'a permit',
    how: 'awaits again and again',
    use: async (machine) => {
      const permits = machine.locks.semaphore('permits', 1)
      for (let tries = 40; ; tries--) {
        try {
          const guard = await permits.acquireAsync(1, { timeout: wait.timeout / 40 })
          guard.release()
          return
        } catch (error) {
          if (tries === 0) throw error
        }
      }
    },
  },
  {
    what: 'a read lock',
    how: 'awaits',
    use: async (machine) => {
      const guard = await machine.percpu.rwSemaphore('rw').writeLock(wait)
      guard.unlock()
    },
  },
  {
    what: 'a write lock',
    how: 'blocks',
    use: (machine) => {
      machine.percpu.rwSemaphore('rw').readLock(wait).unlock()
    },
  },
  {
    what: 'a write lock',
    how: 'awaits',
    use: async (machine) => {
      const guard = await machine.percpu.rwSemaphore('rw').readLockAsync(wait)
      guard.unlock()
    },
  },
  { what: 'a section', how: 'awaits', use: (machine) => machine.srcu('domain').synchronize(wait) },
  { what: 'a section', how: 'blocks', use: (machine) => machine.srcu('domain').synchronizeBlocking(wait) },
  {
    what: 'a section of a removed map',
    how: 'awaits',
    use: (machine) => machine.remove('map', 'held', wait),
  },
  { what: 'callbacks', how: 'awaits', use: (machine) => machine.rcu.barrier(wait) },
  { what: 'callbacks', how: 'awaits a grace period', use: (machine) => machine.rcu.synchronize(wait) },
  {
    what: 'callbacks',
    how: 'blocks for a grace period',
    use: (machine) => machine.rcu.synchronizeBlocking(wait),
  },
]

describe('with a thread that has ended, unsupervised', { skip: !tellsOfThreads, concurrency: true }, () => {
  for (const { what, how, use } of cases)
    it(`who ${how} for ${what} goes on`, async () => {
      const machine = boot({ cpus: 3, memory: '4 MiB' })
      const workerData: LeftBehindData = { handle: machine.handle, what }
      const worker = new Worker(new URL('./support/left-behind.js', import.meta.url), { workerData })
      await once(worker, 'message')
      await worker.terminate()
      assert.deepEqual(machine.online, [0, 1])
      const deaths: number[] = []
      machine.on('died', (death) => deaths.push(death.cpu))
      await use(machine)
      await Promise.resolve()
      assert.deepEqual(machine.online, [0])
      await machine.rcu.synchronize()
      assert.deepEqual(deaths, [1])
      await machine.offline()
    })
})

describe('a patrol', () => {
  /** A table of four CPUs, with the keys of their threads and of those that the system knows. */
  function tableOf(threads: readonly number[], living: ReadonlySet<number>): CpuTable {
    const table: Pick<CpuTable, 'thread' | 'osState'> & { readonly map: Pick<CpuTable['map'], 'cpus'> } = {
      map: { cpus: threads.length },
      thread: (cpu) => threads[cpu] ?? 0,
      osState: (_, key) => (living.has(key ?? 0) ? 'running' : 'gone'),
    }
    return table as CpuTable
  }

  it('leaves a thread to its supervisor until it finds it gone a second time', (t) => {
    const threads = [11, 12, 0, 14]
    const patrol = new Patrol(tableOf(threads, new Set([11])), 0)
    const clock = t.mock.method(performance, 'now', () => 1000)
    const at = (now: number): readonly number[] => {
      clock.mock.mockImplementation(() => now)
      return patrol.ended()
    }
    assert.deepEqual(at(1000), [])
    threads[3] = 15
    assert.deepEqual(at(1400), [], 'too soon')
    assert.deepEqual(at(2000), [1], 'another thread has come to CPU 3')
    threads[1] = 0
    assert.deepEqual(at(3000), [3])
  })

  it('looks at all CPUs in turn, at some at a time', (t) => {
    const looked: number[] = []
    const table = tableOf(
      Array.from({ length: 150 }, (_, cpu) => cpu + 1),
      new Set(Array.from({ length: 150 }, (_, cpu) => cpu + 1)),
    )
    const patrol = new Patrol(
      Object.assign(table, {
        osState: (cpu: number) => {
          looked.push(cpu)
          return 'running' as const
        },
      }),
      0,
    )
    const clock = t.mock.method(performance, 'now', () => 0)
    for (let round = 1; round <= 3; round++) {
      clock.mock.mockImplementation(() => round * 1000)
      patrol.ended()
      assert.ok(looked.length <= 64 * round)
    }
    assert.deepEqual(new Set(looked), new Set(Array.from({ length: 149 }, (_, i) => i + 1)))
  })
})
