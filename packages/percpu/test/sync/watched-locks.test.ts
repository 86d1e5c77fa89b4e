/** Locks as watchers see them: who owns and awaits which, deadlocks by name, and what a dead CPU held. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'

describe('an inspection', () => {
  it('names locks, a deadlock of two workers, and what one of them held when it is ended', async () => {
    const machine = boot({ cpus: 3 })
    const mutexes = ['accounts', 'orders'].map((name) => machine.mutex(name))
    const start = async (first: string, second: string) => {
      const worker = new Worker(new URL('./lock-order-worker.js', import.meta.url), {
        workerData: { handle: machine.handle, first, second },
      })
      const { reaped } = machine.supervise(worker)
      const [cpu] = (await once(worker, 'message')) as [number]
      return { worker, reaped, cpu }
    }
    const one = await start('accounts', 'orders')
    const two = await start('orders', 'accounts')
    try {
      const locks = (cpu: number) => machine.inspect().cpus[cpu]?.locks
      assert.deepEqual(
        locks(one.cpu)?.owned.map(({ name }) => name),
        ['accounts'],
      )
      assert.deepEqual(machine.inspect().deadlocks, [])
      one.worker.postMessage('go')
      two.worker.postMessage('go')
      while (machine.inspect().deadlocks[0]?.certain !== true) await new Promise(setImmediate)
      const [deadlock] = machine.inspect().deadlocks
      assert.deepEqual(deadlock?.cpus, [one.cpu, two.cpu])
      assert.deepEqual(
        deadlock.locks.map(({ name, owner }) => [name, owner]),
        [
          ['orders', two.cpu],
          ['accounts', one.cpu],
        ],
      )
      assert.equal(machine.inspect().cpus[one.cpu]?.work?.label, 'locks orders')

      const monitor = machine.monitor({ interval: 20 })
      const died = monitor.once('died')
      await two.worker.terminate()
      assert.deepEqual(await two.reaped, [two.cpu])
      const { postMortem } = await died
      assert.deepEqual(
        postMortem?.locks.owned.map(({ name }) => name),
        ['orders'],
      )
      while ((locks(one.cpu)?.owned.length ?? 0) < 2) await new Promise(setImmediate)
      assert.deepEqual(machine.inspect().deadlocks, [])
      monitor.stop()
    } finally {
      await Promise.all([one.worker.terminate(), two.worker.terminate()])
      await Promise.all([one.reaped, two.reaped])
    }
    for (const mutex of mutexes) mutex.lock().unlock()
  })
})
