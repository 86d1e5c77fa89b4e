/**
 * Threads that use one ring: each message comes once, those of one sender in their order, and all
 * goes on although threads are terminated at random moments. `PERCPU_KILLS=1000` is the long form,
 * `PERCPU_SEED` another run.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { loadAtomic32 } from 'percpu/mem'
import { randomFrom } from '../../support/random.js'
import type { RingWorkerData } from './support/worker.js'

const kills = Number(process.env['PERCPU_KILLS'] ?? 4)
const seed = Number(process.env['PERCPU_SEED'] ?? 3)
const COUNT = 2000

function start(machine: Machine, data: Omit<RingWorkerData, 'handle'>): Worker {
  const workerData: RingWorkerData = { ...data, handle: machine.handle }
  const worker = new Worker(new URL('./support/worker.js', import.meta.url), { workerData })
  machine.supervise(worker)
  return worker
}

/** What a receiver gives at its end: numbers by sender. */
function resultOf(worker: Worker): Promise<ReadonlyMap<number, number[]>> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message) => {
      if (message !== 'ready') resolve(message as ReadonlyMap<number, number[]>)
    })
    worker.once('error', reject)
  })
}
function ended(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once('exit', resolve)
    worker.once('error', reject)
  })
}

describe('threads that use one ring', () => {
  it('get each message once, those of one sender in their order', async () => {
    const machine = boot({ memory: '8 MiB', cpus: 5 })
    // Some messages only, so that everybody waits now and then.
    const ring = machine.ring('r', { value: 'json', bytes: 700 })
    const senders = [1, 2].map((id) => start(machine, { does: 'send', id, count: COUNT }))
    const forms = ['receive', 'receive blocking'] as const
    const receivers = forms.map((does, i) => start(machine, { does, id: 3 + i, count: 0 }))
    const results = Promise.all(receivers.map(resultOf))
    await Promise.all(senders.map(ended))
    ring.close()
    const received = await results
    for (const id of [1, 2]) {
      const numbers = received.flatMap((of) => of.get(id) ?? []).sort((a, b) => a - b)
      assert.deepEqual(
        numbers,
        Array.from({ length: COUNT }, (_, number) => number),
      )
    }
    assert.ok(ring.isEnded)
    ring.verify()
    await Promise.all(receivers.map(ended))
    await machine.offline()
  })

  it(`lose at most what each of ${kills} that were terminated was at`, async () => {
    const random = randomFrom(seed)
    const machine = boot({ memory: '8 MiB', cpus: 4 })
    const ring = machine.ring('r', { value: 'json', bytes: 700 })
    const words = machine.heap.alloc(64, { zero: true, persist: true })
    const data = { does: 'both for ever', count: 0, words } as const
    let next = 1
    const renew = async (): Promise<Worker> => {
      const worker = start(machine, { ...data, id: next++ })
      await once(worker, 'message')
      return worker
    }
    const workers = await Promise.all([renew(), renew()])
    const own = { sent: 0, received: 0 }
    for (let kill = 0; kill < kills; kill++) {
      await new Promise((resolve) => setTimeout(resolve, random(15)))
      const [victim] = workers.splice(random(2), 1)
      const exit = victim && once(victim, 'exit')
      await victim?.terminate()
      await exit
      // This thread goes on.
      while (!ring.trySend({ sender: 0, number: 0, filling: '' })) if (ring.tryReceive()) own.received++
      own.sent++
      ring.verify()
      workers.push(await renew())
    }
    await Promise.all(workers.map((worker) => worker.terminate()))
    await new Promise(setImmediate)
    ring.verify()
    const { sent, received, length } = ring.report()
    assert.equal(ring.receiveMany(1000).length, length)
    assert.equal(sent - received, length)
    const [counted = 0, taken = 0] = [0, 1].map((i) => loadAtomic32(machine.memory.i32, words / 4 + i))
    // Each that was terminated may have ended before it has counted its last message.
    const uncounted = [sent - own.sent - counted, received - own.received - taken]
    for (const count of uncounted) assert.ok(count >= 0 && count <= kills + 2, String(uncounted))
    assert.ok(sent > 100)
    machine.heap.verify()
    await machine.offline()
  })
})
