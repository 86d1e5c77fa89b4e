/**
 * Workers that replace and free objects which all of them read, while random ones are terminated at
 * random moments and replaced. `PERCPU_KILLS=1000` is the long form, `PERCPU_SEED` another run.
 *
 * Nobody reads what is free. Afterwards the heap is right, nothing is queued any more, at most one
 * object for each kill is lost, and each function was called, or was counted as lost.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine, type Rcu, type Srcu } from 'percpu'
import { load32, loadAtomic32, notify32, storeAtomic32 } from 'percpu/mem'
import { randomFrom } from '../support/random.js'
import { words } from '../support/threads.js'
import type { FreeingWorkerData } from './support/freeing-worker.js'
import { left, queued } from './support/lists.js'

const WORKERS = 2
const SLOTS = 64
const kills = Number(process.env['PERCPU_KILLS'] ?? 8)
const seed = Number(process.env['PERCPU_SEED'] ?? 5)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const isParked = ({ watch }: Machine, cpu: number): boolean =>
  watch.inspect().cpus.find((each) => each.cpu === cpu)?.activity === 'parked'

class Scene {
  readonly machine: Machine
  readonly slots: number
  readonly tally: number
  readonly random = randomFrom(seed)

  readonly domain: Srcu | undefined

  constructor(machine: Machine, domain?: Srcu) {
    this.machine = machine
    this.domain = domain
    this.slots = machine.heap.memblock.alloc({ size: SLOTS * 4 })
    this.tally = machine.heap.memblock.alloc({ size: 64 })
  }

  get queue(): Rcu | Srcu {
    return this.domain ?? this.machine.rcu
  }

  async start(park?: number) {
    const { slots, tally, domain } = this
    const workerData: FreeingWorkerData = {
      ...{ handle: this.machine.handle, slots, count: SLOTS, tally, seed: this.random(1e9) },
      ...(park === undefined ? {} : { park }),
      ...(domain ? { domain: domain.name } : {}),
    }
    const worker = new Worker(new URL('./support/freeing-worker.js', import.meta.url), { workerData })
    const { reaped } = this.machine.supervise(worker)
    worker.once('error', (error) => assert.fail(error))
    await new Promise((resolve) => worker.once('message', resolve))
    return { worker, reaped }
  }

  /** Turns, functions queued or about to be, those called, and those lost as workers have heard. */
  count(word: number): number {
    return loadAtomic32(this.machine.memory.i32, this.tally / 4 + word)
  }
  get linked(): number[] {
    const references = Array.from({ length: SLOTS }, (_, i) =>
      loadAtomic32(this.machine.memory.i32, this.slots / 4 + i),
    )
    return references.filter((reference) => reference !== 0).map((reference) => reference * 8)
  }
}

const places: Readonly<Record<string, { kills: number; make: (machine: Machine) => Srcu | undefined }>> = {
  'grace periods': { kills, make: () => undefined },
  'grace periods of a fast domain': { kills: kills / 2, make: (machine) => machine.srcu('s') },
  'grace periods of a normal domain': {
    kills: kills / 2,
    make: (machine) => machine.srcu('s', { flavour: 'normal' }),
  },
}

for (const [place, { kills, make }] of Object.entries(places))
  describe(`workers terminated in the middle of freeing after ${place}`, () => {
    it('leave nothing behind, and nothing that is read is free', async () => {
      const machine = boot({ cpus: WORKERS + 1, memory: '16 MiB' })
      const scene = new Scene(machine, make(machine))
      let lost = 0
      machine.on('callbacksLost', ({ count, domain }) => {
        assert.equal(domain, scene.domain?.name)
        lost += count
      })
      const workers = await Promise.all(Array.from({ length: WORKERS }, () => scene.start()))
      for (let kill = 0; kill < kills; kill++) {
        const goal = scene.count(0) + 64 * scene.random(20)
        while (scene.count(0) < goal) await turn()
        const place = scene.random(WORKERS)
        const { worker, reaped } = workers[place] ?? assert.fail()
        await worker.terminate()
        await reaped
        workers[place] = await scene.start()
      }
      for (const { worker, reaped } of workers) {
        await worker.terminate()
        await reaped
      }
      await scene.queue.barrier()
      const { linked } = scene
      assert.deepEqual(queued(machine), [])
      const objects = machine.heap.allocations().filter(({ size }) => size < 4096).length
      const most = linked.length + kills + WORKERS
      assert.ok(objects >= linked.length && objects <= most, `${objects} of ${linked.length} to ${most}`)
      assert.deepEqual(new Set(left(machine, linked)), new Set(linked))
      for (const address of linked) assert.ok(load32(machine.memory.i32, address / 4) > 0)
      machine.heap.verify({ quiet: true })
      const [begun, called] = [scene.count(1), scene.count(2)]
      lost += scene.count(3)
      assert.ok(
        called + lost <= begun && called + lost >= begun - kills - WORKERS,
        `${begun}: ${called}, ${lost}`,
      )
    })
  })

describe('a worker that parks right after it has freed something', () => {
  it('has it freed by another CPU', async () => {
    const machine = boot({ cpus: 2, memory: '4 MiB' })
    const scene = new Scene(machine)
    const [park = 0] = words(machine, 1)
    const address = machine.heap.alloc(32, { persist: true })
    storeAtomic32(machine.memory.i32, scene.slots / 4, address / 8)
    const { reaped } = await scene.start(park)
    while (machine.heap.allocations().some((allocation) => allocation.address === address)) await turn()
    assert.deepEqual(queued(machine), [])
    storeAtomic32(machine.memory.i32, park / 4, 1)
    notify32(machine.memory.i32, park / 4)
    await reaped
  })

  it('has it freed in a domain, too, which does not end while it still looks after it', async () => {
    const machine = boot({ cpus: 2, memory: '4 MiB' })
    const domain = machine.srcu('s', { flavour: 'normal' })
    const scene = new Scene(machine, domain)
    const [park = 0] = words(machine, 1)
    const address = machine.heap.alloc(32, { persist: true })
    storeAtomic32(machine.memory.i32, scene.slots / 4, address / 8)
    // Its grace period cannot end before it has parked: it would have freed the object itself.
    const token = domain.readLock()
    const { reaped } = await scene.start(park)
    const first = scene.slots / 4
    while (loadAtomic32(machine.memory.i32, first) === address / 8 || !isParked(machine, 1)) await turn()
    domain.readUnlock(token)
    while (machine.heap.allocations().some((allocation) => allocation.address === address)) await turn()
    await domain.barrier()
    const [cleaning] = await Promise.allSettled([domain.cleanup()])
    storeAtomic32(machine.memory.i32, park / 4, 1)
    notify32(machine.memory.i32, park / 4)
    await reaped
    assert.equal(cleaning.status, 'rejected')
    assert.equal((cleaning.reason as { code: string }).code, 'PERCPU_SRCU_BUSY')
    await domain.cleanup()
  })
})
