/**
 * The kill test of the heap: workers allocate, link, unlink and free as fast as they can, until all
 * are terminated at random moments. Then every word of the heap is looked at, and what is allocated
 * is exactly what is linked; no page is lost, no object, and at the end the memory is as before.
 * `PERCPU_KILLS=1000` is the long form, `PERCPU_SEED` another run.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { load32, loadAtomic32 } from 'percpu/mem'
import { randomFrom } from '../support/random.js'
import { SLOTS, type KilledWorkerData } from './support/killed-worker-data.js'
import { verify } from './support/verify.js'

const WORKERS = 3
const kills = Number(process.env['PERCPU_KILLS'] ?? 36)
const random = randomFrom(Number(process.env['PERCPU_SEED'] ?? 5))

function start(machine: Machine, data: Omit<KilledWorkerData, 'seed'>): Victim {
  const workerData: KilledWorkerData = { ...data, seed: random(2 ** 24) }
  const worker = new Worker(new URL('./support/killed-worker.js', import.meta.url), { workerData })
  const { reaped } = machine.supervise(worker)
  const errors: unknown[] = []
  worker.on('error', (error) => errors.push(error))
  return { worker, reaped, errors, ready: new Promise((resolve) => worker.once('message', resolve)) }
}
interface Victim {
  readonly worker: Worker
  readonly reaped: Promise<readonly number[]>
  readonly errors: unknown[]
  readonly ready: Promise<unknown>
}

function linked(machine: Machine, table: number): Set<number> {
  const found = new Set<number>()
  for (let i = 0; i < SLOTS; i++) {
    const address = load32(machine.memory.i32, table + i) * 8
    if (address === 0) continue
    assert.equal(
      load32(machine.memory.i32, address / 4),
      table + i,
      `what slot ${i} leads to is another one's`,
    )
    assert.ok(!found.has(address))
    found.add(address)
  }
  return found
}

function check(machine: Machine, table: number, when: string): void {
  const { faults, objects, blocks } = verify(machine)
  assert.deepEqual(faults, [], when)
  const wanted = linked(machine, table)
  const found = new Set(machine.heap.allocations().map(({ address }) => address))
  assert.deepEqual([...found].sort(), [...wanted].sort(), when)
  for (const { persistent } of machine.heap.allocations()) assert.ok(persistent)
  for (const address of wanted) assert.ok(objects.has(address) || blocks.has(address / 4096))
}

describe('workers terminated in the middle of using the heap', () => {
  it('lose no object and no page, and leave nothing behind', async () => {
    const machine = boot({ cpus: WORKERS + 1, memory: '16 MiB', journal: 4096 })
    const [table, turns] = [
      machine.heap.memblock.alloc({ size: SLOTS * 4 }) / 4,
      machine.heap.memblock.alloc({ size: 4 }) / 4,
    ]
    const data = { handle: machine.handle, table, turns }
    for (let round = 0; round < kills / WORKERS; round++) {
      const victims = Array.from({ length: WORKERS }, () => start(machine, data))
      await Promise.all(victims.map(({ ready }) => ready))
      // This thread is the supervisor and uses the heap, too, as long as none of them can be dead.
      for (let i = 0; i < 50; i++) machine.heap.free(machine.heap.alloc(64))
      await delay(random(12))
      await Promise.all(victims.map(({ worker }) => worker.terminate()))
      await Promise.all(victims.map(({ reaped }) => reaped))
      assert.deepEqual(
        victims.flatMap(({ errors }) => errors),
        [],
      )
      check(machine, table, `after round ${round}`)
    }
    assert.ok(loadAtomic32(machine.memory.i32, turns) > kills, 'too few turns')

    for (const address of linked(machine, table)) machine.heap.free(address)
    machine.heap.trim()
    const { faults, objects, blocks, freePages, pages } = verify(machine)
    assert.deepEqual(faults, [])
    assert.equal(objects.size, 0)
    // Of the pages only the caches' own blocks, and slabs of what waits in magazines for the next
    // threads, are in use.
    const used = [...blocks.values()].reduce((sum, { order }) => sum + (1 << order), 0)
    assert.equal(freePages + used, pages)
    // The mutex of the workers.
    const counts = machine.heap.report().caches.map(({ allocated }) => allocated)
    assert.equal(
      counts.reduce((sum, allocated) => sum + allocated, 0),
      1,
    )
    assert.deepEqual(machine.heap.allocations(), [])
  })
})
