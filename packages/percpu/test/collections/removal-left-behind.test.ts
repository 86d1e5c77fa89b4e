/** Removals that threads are in the way of which have ended, and which nobody supervised. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { tellsOfThreads } from '../../dist/machine/os-thread.js'
import type { LeavingWorkerData } from './support/leaving-worker.js'

/** Until a wait has failed. Two patrols take two seconds. */
const wait = { timeout: 20_000 }

async function startWorker(machine: Machine, what: LeavingWorkerData['what']): Promise<Worker> {
  const workerData: LeavingWorkerData = { handle: machine.handle, what }
  const worker = new Worker(new URL('./support/leaving-worker.js', import.meta.url), { workerData })
  await once(worker, 'message')
  return worker
}

describe('after a thread that has ended, unsupervised', { skip: !tellsOfThreads, concurrency: true }, () => {
  it('a ring is removed for whose messages it slept', async () => {
    const machine = boot({ cpus: 3, memory: '4 MiB' })
    const ring = machine.ring('ring')
    const worker = await startWorker(machine, 'receives')
    while (ring.report().receivers.length === 0) await turn()
    await worker.terminate()
    await machine.remove('ring', 'ring', wait)
    assert.deepEqual(machine.online, [0])
    await machine.offline()
  })

  it('a map is removed that it was about to remove', async () => {
    const machine = boot({ cpus: 3, memory: '4 MiB' })
    const map = machine.map('map', { key: 'u32', value: 'string', hold: true }).set(1, 'one')
    let end: () => void = () => undefined
    const held = map.hold(1, () => new Promise<void>((resolve) => (end = resolve)))
    const worker = await startWorker(machine, 'removes')
    await worker.terminate()
    end()
    await held
    await machine.remove('map', 'map', wait)
    assert.deepEqual(machine.online, [0])
    await machine.offline()
  })

  it('a page is unmapped that it had pinned', async () => {
    const machine = boot({ cpus: 3, memory: '16 MiB' })
    const space = machine.space('space')
    space.map(0, 4096)
    const worker = await startWorker(machine, 'pins')
    await assert.rejects(space.unmap(0, 4096), { code: 'PERCPU_PINNED', details: { address: 0, cpu: 1 } })
    await worker.terminate()
    await space.unmap(0, 4096)
    assert.deepEqual(space.maps(), [])
    await machine.offline()
  })
})
