/**
 * The kill test: workers change structures guarded by mutexes and the journal as fast as they can,
 * while random ones are terminated at random moments and replaced. `PERCPU_KILLS=1000` is the long
 * form (`npm run torture:kill`), `PERCPU_SEED` another run.
 *
 * Afterwards no invariant is broken, no lock held, no permit gone, no sequence odd, no CPU lost, no
 * waiter stuck, and the memory is as before.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { load32, loadAtomic32, store32 } from 'percpu/mem'
import { randomFrom } from '../support/random.js'
import type { KilledWorkerData } from './support/killed-worker.js'
import { SharedState, STATE_BYTES } from './support/shared-state.js'
import { STRUCTURE_BYTES, Structures } from './support/structures.js'

const WORKERS = 3
const timeout = 20_000
const kills = Number(process.env['PERCPU_KILLS'] ?? 40)
const seed = Number(process.env['PERCPU_SEED'] ?? 11)

class Scene {
  readonly machine: Machine
  readonly #random: (below: number) => number
  readonly #data: Omit<KilledWorkerData, 'seed'>
  readonly structures: Structures
  readonly others: Structures
  readonly state: SharedState

  constructor(machine: Machine, random: (below: number) => number) {
    this.machine = machine
    this.#random = random
    const alloc = (size: number): number => machine.heap.memblock.alloc({ size, label: 'kill test' })
    const [structures, other] = [alloc(STRUCTURE_BYTES), alloc(STRUCTURE_BYTES)]
    const [turns, faults] = [alloc(4), alloc(4)]
    const state = alloc(STATE_BYTES)
    this.#data = { handle: machine.handle, structures, other, state, turns, faults }
    this.state = new SharedState(machine, state)
    this.structures = new Structures(machine.memory, structures)
    this.others = new Structures(machine.memory, other)
    for (const each of [this.structures, this.others])
      each.initialise((word, value) => store32(machine.memory.i32, word, value))
    machine.locks.mutex('first')
    machine.locks.mutex('second')
  }

  start(): { worker: Worker; reaped: Promise<readonly number[]>; ready: Promise<unknown> } {
    const workerData: KilledWorkerData = { ...this.#data, seed: this.#random(1e9) }
    const worker = new Worker(new URL('./support/killed-worker.js', import.meta.url), { workerData })
    const { reaped } = this.machine.supervise(worker)
    worker.once('error', (error) => assert.fail(error))
    return { worker, reaped, ready: new Promise((resolve) => worker.once('message', resolve)) }
  }

  get turns(): number {
    return loadAtomic32(this.machine.memory.i32, this.#data.turns / 4)
  }

  /** Takes part in the contest, so that a lock that is stuck is noticed at once. */
  async check(when: string): Promise<void> {
    for (const [name, structures] of [
      ['first', this.structures],
      ['second', this.others],
    ] as const) {
      const guard = await this.machine.locks.mutex(name).lockAsync({ timeout })
      assert.deepEqual(structures.faults(), [], `${when} (seed ${seed})`)
      guard.unlock()
    }
    const guard = await this.state.mutex.lockAsync({ timeout })
    assert.deepEqual(this.state.goodsFaults(), [], `${when} (seed ${seed})`)
    this.state.makeMany(guard)
    guard.unlock()
    assert.deepEqual(await this.state.copyFaultsAsync(timeout), [], `${when} (seed ${seed})`)
    const permit = await this.state.permits.acquireAsync(1, { timeout })
    permit.release()
    assert.equal(loadAtomic32(this.machine.memory.i32, this.#data.faults / 4), 0, `${when}: seen by a worker`)
  }
}

describe('workers terminated in the middle of what they do', () => {
  it('leave structures whole, locks free, nobody waiting and no CPU and no memory lost', async () => {
    const random = randomFrom(seed)
    const machine = boot({ cpus: WORKERS + 1, memory: '4 MiB', journal: 4096 })
    const scene = new Scene(machine, random)
    const memory = machine.heap.memblock.report().used
    const living = Array.from({ length: WORKERS }, () => scene.start())
    try {
      for (let kill = 0; kill < kills; kill++) {
        const index = random(WORKERS)
        const victim = living[index]
        assert.ok(victim)
        await victim.ready
        for (let i = random(4); i > 0; i--) await machine.rcu.synchronize({ timeout })
        await victim.worker.terminate()
        await victim.reaped
        living[index] = scene.start()
        await scene.check(`after kill ${kill}`)
      }
    } finally {
      await Promise.all(living.map(({ worker }) => worker.terminate()))
    }
    await Promise.all(living.map(({ reaped }) => reaped))

    await scene.check('at the end')
    assert.ok(scene.turns > kills, `only ${scene.turns} turns`)
    assert.deepEqual(machine.cpus.present, [0])
    for (const cpu of machine.cpus.possible) assert.deepEqual(machine.locks.heldBy(cpu), [])
    for (const name of ['first', 'second']) {
      const mutex = machine.locks.mutex(name)
      assert.equal(mutex.owner, undefined)
      const words = Array.from({ length: 17 }, (_, i) => load32(machine.memory.i32, mutex.address / 4 + i))
      assert.deepEqual(words.slice(1), new Array(16).fill(0), `${name}: a waiter was left`)
    }
    assert.deepEqual(scene.state.leftovers(), [])
    assert.equal(machine.heap.memblock.report().used, memory)
    for (let cpu = 0; cpu < WORKERS; cpu++) assert.equal(machine.cpus.states()[cpu + 1]?.state, 'offline')
    await machine.rcu.synchronize({ timeout })
  })
})
