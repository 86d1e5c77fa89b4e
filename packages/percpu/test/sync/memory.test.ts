/** Threads that run out of private memory, and waits that end without what they waited for. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { load32, store32 } from 'percpu/mem'
import { fresh, joinAs } from '../support/machines.js'
import { words } from '../support/threads.js'

describe('a worker that runs out of memory in a section', () => {
  it('is cleaned up after: what it wrote is taken back, and its mutex is free', async () => {
    const machine = fresh()
    const [word = 0] = words(machine, 1)
    store32(machine.memory.i32, word, 5)
    const worker = new Worker(new URL('./memory-worker.js', import.meta.url), {
      workerData: { handle: machine.handle, word },
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
    })
    const error = once(worker, 'error') as Promise<[{ readonly code: string }]>
    const { reaped } = machine.supervise(worker)
    assert.equal((await error)[0].code, 'ERR_WORKER_OUT_OF_MEMORY')
    assert.deepEqual(await reaped, [1])
    machine.locks.mutex('m').run(() => assert.equal(load32(machine.memory.i32, word), 5))
    machine.heap.verify({ quiet: true })
  })
})

describe('waits that end at their time-out', () => {
  it('leave nothing in shared memory, and others do not wait for them', async () => {
    const machine = fresh()
    const other = joinAs(machine, 101)
    const guard = machine.locks.mutex('m').lock()
    const waiter = other.locks.mutex('m')
    const tryMany = async (count: number) => {
      const waits = Array.from({ length: count }, () => waiter.lockAsync({ timeout: 1 }))
      const outcomes = await Promise.allSettled(waits)
      assert.ok(outcomes.every(({ status }) => status === 'rejected'))
    }
    await tryMany(20)
    const used = machine.heap.memblock.report().used
    const pages = machine.heap.report()
    for (let round = 0; round < 50; round++) await tryMany(20)
    assert.equal(machine.heap.memblock.report().used, used)
    assert.deepEqual(machine.heap.report(), pages)
    guard.unlock()
    using mine = await waiter.lockAsync({ timeout: 10_000 })
    assert.ok(mine)
  })
})
