/**
 * Workers that change a map and a map of ranges and send messages, while random ones are terminated
 * at random moments and replaced. `PERCPU_KILLS=1000` is the long form, `PERCPU_SEED` another run.
 *
 * What was acknowledged is there, what was not is there whole or not at all, the others meet no
 * error, and the memory is as before.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, PAGE_BYTES, type Machine, type SharedMap, type SharedRangeMap, type SharedRing } from 'percpu'
import { randomFrom } from '../support/random.js'
import { KEYS, KeptLog, MESSAGE_BITS, SPAN } from './support/kept-log.js'
import type { KeptWorkerData } from './support/kept-worker.js'

const WORKERS = 3
const kills = Number(process.env['PERCPU_KILLS'] ?? 6)
const seed = Number(process.env['PERCPU_SEED'] ?? 3)

interface Started {
  readonly worker: Worker
  readonly reaped: Promise<unknown>
}

class Scene {
  log = new KeptLog(WORKERS)
  readonly machine: Machine = boot({ cpus: WORKERS + 1, memory: '32 MiB' })
  readonly map: SharedMap<number, number>
  readonly ranges: SharedRangeMap<number, number>
  readonly ring: SharedRing<number>
  readonly random = randomFrom(seed)
  /** Of each worker: the number of its last message. */
  readonly #last: number[] = Array.from({ length: WORKERS }, () => -1)
  readonly received: number[] = Array.from({ length: WORKERS }, () => 0)

  constructor() {
    this.map = this.machine.map('map', { key: 'u32', value: 'u32' })
    this.ranges = this.machine.rangeMap('ranges', { key: 'u32', value: 'u32' })
    this.ring = this.machine.ring('ring', { value: 'u32', bytes: 4096 })
  }

  async start(id: number): Promise<Started> {
    const { machine, log, random } = this
    const workerData: KeptWorkerData = {
      ...{ handle: machine.handle, id, workers: WORKERS, seed: random(1e9), log: log.buffer },
    }
    const worker = new Worker(new URL('./support/kept-worker.js', import.meta.url), { workerData })
    const { reaped } = machine.supervise(worker)
    worker.once('error', (error) => assert.fail(error))
    await new Promise((resolve) => worker.once('message', resolve))
    return { worker, reaped }
  }

  async end(workers: readonly Started[]): Promise<void> {
    const exits = workers.map(({ worker }) => new Promise((resolve) => worker.once('exit', resolve)))
    this.log.end()
    await Promise.all([...exits, ...workers.map(({ reaped }) => reaped)])
  }
  async warmUp(): Promise<void> {
    const workers = await Promise.all(Array.from({ length: WORKERS }, (_, id) => this.start(id)))
    while (this.ring.length < WORKERS * 10) await new Promise(setImmediate)
    await this.end(workers)
    while (this.ring.tryReceive() !== undefined);
    this.log = new KeptLog(WORKERS)
  }

  /** Each message once, in the order of its sender. */
  receive(): void {
    for (let message = this.ring.tryReceive(); message !== undefined; message = this.ring.tryReceive()) {
      const [id, number] = [message >>> MESSAGE_BITS, message & (2 ** MESSAGE_BITS - 1)]
      const last = this.#last[id] ?? assert.fail(`a message of nobody: ${message}`)
      assert.ok(number > last, `worker ${id}: message ${number} after ${last}`)
      this.#last[id] = number
      this.received[id] = (this.received[id] ?? 0) + 1
    }
  }

  check(): void {
    for (let id = 0; id < WORKERS; id++)
      for (let key = 0; key < KEYS; key++) {
        const at = id * KEYS + key
        const value = this.map.get(at) ?? 0
        assert.ok(this.log.allowed(id, 0, key).includes(value), `map: ${at} has ${value}`)
        const found = [0, 1, SPAN - 1].map((offset) => this.ranges.lookup(at * SPAN + offset) ?? 0)
        assert.ok(this.log.allowed(id, 1, key).includes(found[0] ?? 0), `ranges: ${at} has ${found.join()}`)
        assert.equal(new Set(found).size, 1, `ranges: ${at} has ${found.join()}`)
      }
    this.map.verify({ quiet: true })
    this.ranges.verify()
    this.ring.verify()
  }

  /**
   * Bytes of objects in use when all keys have been there, and none is any more; and pages. What is
   * to be freed is listed in some, as many as a CPU has needed at a time.
   */
  async inUse(): Promise<{ readonly bytes: number; readonly pages: number }> {
    for (let key = 0; key < WORKERS * KEYS; key++) {
      this.map.set(key, 1)
      this.ranges.set(key * SPAN, key * SPAN + SPAN - 1, key + 1)
      if (key % 50 === 0) await this.settle()
    }
    this.map.clear()
    this.ranges.clear()
    await this.settle()
    this.machine.heap.trim()
    const sizes = this.machine.heap.allocations().map(({ size }) => size)
    const sum = (list: readonly number[]): number => list.reduce((total, size) => total + size, 0)
    return {
      bytes: sum(sizes.filter((size) => size < PAGE_BYTES)),
      pages: sum(sizes.filter((size) => size >= PAGE_BYTES)) / PAGE_BYTES,
    }
  }
  async settle(): Promise<void> {
    await this.machine.rcu.barrier()
    await this.ranges.barrier()
  }
}

describe('workers terminated in the middle of changing collections', () => {
  it('lose nothing that was acknowledged, and no memory', async () => {
    const scene = new Scene()
    // Each CPU has what it needs from then on.
    await scene.warmUp()
    const before = await scene.inUse()
    const workers = await Promise.all(Array.from({ length: WORKERS }, (_, id) => scene.start(id)))
    for (let kill = 0; kill < kills; kill++) {
      const end = performance.now() + scene.random(60)
      do {
        await new Promise(setImmediate)
        scene.receive()
      } while (performance.now() < end)
      const id = scene.random(WORKERS)
      const { worker, reaped } = workers[id] ?? assert.fail()
      await worker.terminate()
      await reaped
      workers[id] = await scene.start(id)
    }
    await scene.end(workers)
    scene.receive()
    scene.check()
    for (let id = 0; id < WORKERS; id++) {
      const { begun, acknowledged } = scene.log.sent(id)
      const received = scene.received[id] ?? 0
      assert.ok(acknowledged > 0)
      // Of each kill at most one was sent and not acknowledged.
      assert.ok(received >= acknowledged && received <= Math.min(begun, acknowledged + kills), `${id}`)
    }
    assert.deepEqual(scene.machine.online, [0])
    const after = await scene.inUse()
    scene.machine.heap.verify({ quiet: true })
    assert.ok(after.bytes <= before.bytes, `${after.bytes - before.bytes} bytes are left`)
    assert.ok(after.pages <= before.pages + 4 * (WORKERS + 1), `${after.pages - before.pages} pages are left`)
    await scene.machine.offline()
  })
})
