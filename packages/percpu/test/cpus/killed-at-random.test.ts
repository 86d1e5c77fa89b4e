/**
 * Real worker threads that use everything a machine has, as fast as they can, while random ones are
 * terminated at random moments and replaced. (What explore/ does one access at a time, for the
 * operations that go on over several jobs.)
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { randomFrom } from '../support/random.js'

describe('workers terminated at random moments', () => {
  it('leave no CPU lost, no memory lost, no name half-made and nobody waiting', async () => {
    const kills = Number(process.env['PERCPU_KILLS'] ?? 40)
    const seed = Number(process.env['PERCPU_SEED'] ?? 7)
    const random = randomFrom(seed)
    const machine = boot({ cpus: 4, memory: '4 MiB' })
    const shared = { handle: machine.handle, names: 6 }
    const start = () => {
      const worker = new Worker(new URL('../support/busy.js', import.meta.url), {
        workerData: { ...shared, seed: random(1e9) },
      })
      const { reaped } = machine.supervise(worker)
      worker.once('error', (error) => assert.fail(error))
      return { worker, reaped, ready: new Promise((resolve) => worker.once('message', resolve)) }
    }
    const living = [start(), start(), start()]
    for (let kill = 0; kill < kills; kill++) {
      const index = random(living.length)
      const victim = living[index]
      assert.ok(victim)
      await victim.ready
      for (let i = random(4); i > 0; i--) await machine.rcu.synchronize({ timeout: 20_000 })
      await machine.cpus.call(machine.online, 'touch', { timeout: 20_000 })
      living[index] = start()
      await victim.worker.terminate()
      assert.equal((await victim.reaped).length <= 1, true)
    }
    await Promise.all(living.map(({ ready }) => ready))
    await Promise.all(living.map(({ worker }) => worker.terminate()))
    await Promise.all(living.map(({ reaped }) => reaped))

    assert.deepEqual(machine.cpus.present, [0])
    assert.deepEqual(
      machine.cpus.states().map(({ state }) => state),
      ['online', 'offline', 'offline', 'offline'],
    )
    const names = machine.objects.list().map(({ name }) => name)
    assert.equal(new Set(names).size, names.length)
    const { regions } = machine.heap.memblock.report()
    assert.deepEqual(machine.heap.allocations(), [], `seed ${seed}: nothing but what has a name`)
    machine.heap.verify({ quiet: true })
    assert.ok(regions.every(({ owner }) => owner === undefined))
    await machine.rcu.synchronize({ timeout: 20_000 })
  })
})
