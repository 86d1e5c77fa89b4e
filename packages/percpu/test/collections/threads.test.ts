/**
 * Threads that use one map: what their calls give is what one Map would give, and what is stored is
 * there although threads are terminated at random moments. `PERCPU_KILLS=1000` is the long form,
 * `PERCPU_SEED` another run.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { checkLinearizability } from 'percpu-lab'
import { boot, type Machine, type SharedMap } from 'percpu'
import { loadAtomic32 } from 'percpu/mem'
import { randomFrom } from '../support/random.js'
import type { WritingWorkerData } from './support/writing-worker.js'

const kills = Number(process.env['PERCPU_KILLS'] ?? 6)
const seed = Number(process.env['PERCPU_SEED'] ?? 3)

type Calls = Parameters<typeof checkLinearizability>[0]

/** What one key of a map has. */
class Entry {
  value: number | undefined = undefined
  get(): number | undefined {
    return this.value
  }
  set(...[, value]: [key: number, value: number]): void {
    this.value = value
  }
  delete(): boolean {
    const had = this.value !== undefined
    this.value = undefined
    return had
  }
  take(): number | undefined {
    const { value } = this
    this.value = undefined
    return value
  }
  compareAndSet(...[, expected, value]: [key: number, expected: number, value: number]): boolean {
    if (this.value !== expected) return false
    this.value = value
    return true
  }
  getOrInsert(...[, value]: [key: number, value: number]): number {
    return (this.value ??= value)
  }
}

describe('threads that use one map', () => {
  it('see what one Map would give, key by key', async () => {
    const machine = boot({ memory: '32 MiB', cpus: 4 })
    const map = machine.map('m', { key: 'i32', value: 'i32' })
    const histories = [1, 2, 3].map(async (id) => {
      const workerData = { handle: machine.handle, seed: seed + id, id }
      const worker = new Worker(new URL('./support/recording-worker.js', import.meta.url), { workerData })
      machine.supervise(worker)
      return await new Promise<Calls>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    })
    const calls = (await Promise.all(histories)).flat()
    assert.equal(calls.length, 4500)
    checkLinearizability(calls, Entry, { key: ({ args }) => args[0], queries: ['get'] })
    map.verify({ quiet: true })
    assert.ok(map.size >= 4500)
    await machine.offline()
  })

  it('lose nothing that was stored when some of them are terminated', async () => {
    const machine = boot({ memory: '64 MiB', cpus: 4 })
    const map = machine.map('m', { key: 'string', value: 'string' })
    const random = randomFrom(seed)
    const writers: { name: string; stored: number }[] = []
    const start = async () => {
      const stored = machine.heap.memblock.alloc({ size: 64 })
      const name = `writer ${writers.length}`
      writers.push({ name, stored })
      const workerData: WritingWorkerData = { handle: machine.handle, seed: random(1e9), stored, name }
      const worker = new Worker(new URL('./support/writing-worker.js', import.meta.url), { workerData })
      const { reaped } = machine.supervise(worker)
      worker.once('error', (error) => assert.fail(error))
      await new Promise((resolve) => worker.once('message', resolve))
      return { worker, reaped }
    }
    const running = await Promise.all([start(), start()])
    for (let kill = 0; kill < kills; kill++) {
      await new Promise((resolve) => setTimeout(resolve, random(30)))
      const victim = random(running.length)
      const { worker, reaped } = running[victim] ?? assert.fail()
      await worker.terminate()
      await reaped
      running[victim] = await start()
    }
    for (const { worker, reaped } of running) {
      await worker.terminate()
      await reaped
    }
    assertStored(machine, map, writers)
    map.clear()
    assert.equal(map.size, 0)
    map.verify({ quiet: true })
    await machine.rcu.barrier()
    machine.heap.verify({ quiet: true })
    const left = machine.heap.allocations().filter(({ size }) => size <= 128)
    assert.deepEqual(left, [], 'memory that is lost')
    await machine.offline()
  })
})

function assertStored(
  machine: Machine,
  map: SharedMap<string, string>,
  writers: readonly { readonly name: string; readonly stored: number }[],
): void {
  map.verify({ quiet: true })
  let expected = [...map.keys()].filter((key) => key.startsWith('shared')).length
  for (const { name, stored } of writers) {
    const count = loadAtomic32(machine.memory.i32, stored / 4)
    for (let number = 0; number < count; number++)
      assert.equal(map.get(`${name}:${number}`), `value of ${name}:${number}`)
    // The last one may have been stored, or not.
    expected += count + (map.has(`${name}:${count}`) ? 1 : 0)
  }
  assert.equal(map.size, expected)
  assert.equal([...map].length, expected)
}
