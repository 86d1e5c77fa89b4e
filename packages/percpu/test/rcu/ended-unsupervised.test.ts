/** Waits for what a thread has left that has ended, and that nobody supervises. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { tellsOfThreads } from '../../dist/machine/os-thread.js'
import type { EndedWorkerData } from './support/ended-worker.js'

/** A machine that one worker has joined, queued something to be freed, and ended without a word. */
async function afterDeath(): Promise<Machine> {
  const machine = boot({ cpus: 3, memory: '4 MiB', stallTimeout: 200 })
  machine.on('stall', () => undefined)
  const workerData: EndedWorkerData = { handle: machine.handle }
  const worker = new Worker(new URL('./support/ended-worker.js', import.meta.url), { workerData })
  await once(worker, 'message')
  await worker.terminate()
  assert.deepEqual(machine.online, [0, 1])
  return machine
}

describe('with a thread that has ended, unsupervised', { skip: !tellsOfThreads }, () => {
  it('a barrier ends, though nobody wants a grace period', async () => {
    const machine = await afterDeath()
    await machine.rcu.barrier({ timeout: 20_000 })
    assert.deepEqual(machine.online, [0])
    await machine.offline()
  })

  it('a thread that blocks for a grace period gets it', async () => {
    const machine = await afterDeath()
    machine.rcu.synchronizeBlocking({ timeout: 20_000 })
    await machine.rcu.synchronize()
    assert.deepEqual(machine.online, [0])
    await machine.offline()
  })
})
