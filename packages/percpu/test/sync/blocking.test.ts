/**
 * Threads that block until another thread lets them go on, or ends. Real threads; the test waits
 * for events only.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, ConditionLayout, SemaphoreLayout, type Machine } from 'percpu'
import { load32 } from 'percpu/mem'
import type { BlockingCommand } from './support/blocking-worker.js'

interface Blocking {
  readonly cpu: number
  /** Resolves when the thread goes on. */
  readonly tell: (command: BlockingCommand) => Promise<unknown>
  readonly terminate: () => Promise<unknown>
}
async function start(machine: Machine): Promise<Blocking> {
  const worker = new Worker(new URL('./support/blocking-worker.js', import.meta.url), {
    workerData: machine.handle,
  })
  const { reaped } = machine.supervise(worker)
  const [cpu] = (await once(worker, 'message')) as [number]
  const answers: ((answer: unknown) => void)[] = []
  worker.on('message', (answer) => answers.shift()?.(answer))
  const tell = (command: BlockingCommand): Promise<unknown> => {
    worker.postMessage(command)
    return new Promise((resolve) => answers.push(resolve))
  }
  return { cpu, tell, terminate: () => worker.terminate().then(() => reaped) }
}
async function withThree(
  test: (machine: Machine, workers: readonly [Blocking, Blocking, Blocking]) => Promise<void>,
): Promise<void> {
  const machine = boot({ cpus: 4, memory: '1 MiB' })
  const workers = await Promise.all([start(machine), start(machine), start(machine)])
  try {
    await test(machine, workers)
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()))
  }
  for (const cpu of machine.cpus.possible) assert.deepEqual(machine.locks.heldBy(cpu), [])
  assert.equal(machine.locks.semaphore('p', 3).available, 3)
  const masks = [
    machine.locks.semaphore('p', 3).address + SemaphoreLayout.offsets.waiters,
    machine.locks.condition('c', machine.locks.mutex('m')).address + ConditionLayout.offsets.waiters,
  ]
  for (const mask of masks) assert.equal(load32(machine.memory.i32, mask / 4), 0, 'a waiter was left')
}
/** Turns the event loop until the thread is asleep, in the queue of something. */
async function sleeps(machine: Machine, { cpu }: Blocking): Promise<void> {
  const isAsleep = (): boolean =>
    machine.watch.inspect().cpus[cpu]?.activity === 'parked' &&
    machine.locks.heldBy(cpu).some(({ kind }) => kind === 'queue')
  while (!isAsleep()) await new Promise(setImmediate)
}
async function notify(machine: Machine, whom: 'notify' | 'notifyAll'): Promise<void> {
  const guard = await machine.locks.mutex('m').lockAsync()
  machine.locks.condition('c', machine.locks.mutex('m'))[whom]()
  guard.unlock()
}

describe('a thread blocked in a condition', () => {
  it('lets the mutex go, is woken alone by notify, with all others by notifyAll, and has the mutex again', async () => {
    await withThree(async (machine, workers) => {
      const woken: number[] = []
      const waits = workers.map(async (worker) => {
        const answer = await worker.tell('wait')
        woken.push(worker.cpu)
        assert.deepEqual(answer, [true, true, true])
      })
      for (const worker of workers) await sleeps(machine, worker)
      assert.equal(machine.locks.mutex('m').owner, undefined)
      await notify(machine, 'notify')
      await Promise.race(waits)
      for (const worker of workers) if (!woken.includes(worker.cpu)) await sleeps(machine, worker)
      assert.equal(woken.length, 1)
      await notify(machine, 'notifyAll')
      await Promise.all(waits)
      assert.equal(machine.locks.mutex('m').owner, undefined)
    })
  })

  it('that is terminated asleep takes no notification with it', async () => {
    await withThree(async (machine, [first, second]) => {
      void first.tell('wait')
      await sleeps(machine, first)
      const wait = second.tell('wait')
      await sleeps(machine, second)
      await first.terminate()
      await notify(machine, 'notify')
      assert.deepEqual(await wait, [true, true, true])
    })
  })

  it('goes on when the one that has the mutex meanwhile is terminated', async () => {
    await withThree(async (machine, [first, second]) => {
      const keeps = first.tell('wait, then keep the mutex')
      await sleeps(machine, first)
      const wait = second.tell('wait')
      await sleeps(machine, second)
      await notify(machine, 'notify')
      await Promise.race([keeps, wait])
      await notifyUnlessHeld(machine, first)
      await keeps
      assert.equal(machine.locks.mutex('m').owner?.cpu, first.cpu)
      await first.terminate()
      await notify(machine, 'notifyAll')
      assert.deepEqual(await wait, [true, true, true])
    })
  })

  /** Both may have been woken in either order. */
  async function notifyUnlessHeld(machine: Machine, { cpu }: Blocking): Promise<void> {
    while (machine.locks.mutex('m').owner?.cpu !== cpu) {
      const guard = machine.locks.mutex('m').tryLock()
      if (guard) machine.locks.condition('c', machine.locks.mutex('m')).notifyAll()
      guard?.unlock()
      await new Promise(setImmediate)
    }
  }
})

describe('a thread blocked in a semaphore', () => {
  it('goes on when there is enough for it, whoever waits for more', async () => {
    await withThree(async (machine, [greedy, modest]) => {
      const permits = machine.locks.semaphore('p', 3)
      const taken = permits.acquire(3)
      const all = greedy.tell('acquire 3')
      await sleeps(machine, greedy)
      const one = modest.tell('acquire 1')
      await sleeps(machine, modest)
      taken.release(1)
      await one
      await sleeps(machine, greedy)
      taken.release()
      await modest.tell('release')
      await all
      assert.equal(permits.available, 0)
      await greedy.tell('release')
    })
  })

  it('gets what one held that was terminated, and is missed by nobody when it is terminated itself', async () => {
    await withThree(async (machine, [holder, first, second]) => {
      await holder.tell('acquire 3')
      void first.tell('acquire 3')
      await sleeps(machine, first)
      const wait = second.tell('acquire 3')
      await sleeps(machine, second)
      await first.terminate()
      await holder.terminate()
      await wait
      assert.equal(machine.locks.semaphore('p', 3).available, 0)
      await second.tell('release')
    })
  })
})

describe('a thread blocked in a completion', () => {
  it('goes on at one completion each', async () => {
    await withThree(async (machine, workers) => {
      const waits = workers.map((worker) => worker.tell('complete'))
      for (const worker of workers) await sleeps(machine, worker)
      for (let i = 0; i < workers.length; i++) machine.locks.completion('d').complete()
      await Promise.all(waits)
      assert.equal(machine.locks.completion('d').isDone, false)
    })
  })
})
