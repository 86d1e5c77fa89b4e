/**
 * The kill test: workers allocate, free, count and lock as fast as they can, while random ones are
 * terminated at random moments and replaced. `PERCPU_KILLS=1000` is the long form, `PERCPU_SEED`
 * another run.
 *
 * Afterwards all metadata are right, no page is lost, at most one allocation for each kill, and the
 * counter has what living and dead CPUs counted: each thread says beside it what it begins to
 * count, and what it has counted.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Worker } from 'node:worker_threads'
import { boot, type Machine } from 'percpu'
import { load32, loadAtomic32 } from 'percpu/mem'
import { randomFrom } from '../support/random.js'
import { kinds } from './support/kinds.js'
import type { KilledWorkerData } from './support/killed-worker.js'
import { pagesOutside, sweepZones } from './support/pages.js'

const WORKERS = 2
const SLOTS = 64
const kills = Number(process.env['PERCPU_KILLS'] ?? 16)
const seed = Number(process.env['PERCPU_SEED'] ?? 5)

interface Living {
  readonly worker: Worker
  readonly reaped: Promise<readonly number[]>
  readonly ready: Promise<unknown>
}

class Scene {
  readonly machine: Machine
  readonly #slots: readonly number[]
  /** Two words of each thread that is started: they are too many for a region of their own each. */
  readonly #tallies: number
  #started = 0
  readonly #turns: number
  readonly random = randomFrom(seed)

  constructor(machine: Machine) {
    this.machine = machine
    this.#slots = Array.from({ length: WORKERS }, () => machine.heap.memblock.alloc({ size: SLOTS * 4 }))
    this.#turns = machine.heap.memblock.alloc({ size: 4 })
    this.#tallies = machine.heap.memblock.alloc({ size: (kills + WORKERS) * 8 })
  }

  start(place: number): Living {
    const tally = this.#tallies + this.#started++ * 8
    const workerData: KilledWorkerData = {
      handle: this.machine.handle,
      slots: this.#slots[place] ?? 0,
      count: SLOTS,
      turns: this.#turns,
      tally,
      seed: this.random(1e9),
    }
    const worker = new Worker(new URL('./support/killed-worker.js', import.meta.url), { workerData })
    const { reaped } = this.machine.supervise(worker)
    worker.once('error', (error) => assert.fail(error))
    return { worker, reaped, ready: new Promise((resolve) => worker.once('message', resolve)) }
  }
  get turns(): number {
    return loadAtomic32(this.machine.memory.i32, this.#turns / 4)
  }
  /** What was surely counted, and what was begun. */
  get counted(): readonly [number, number] {
    const { i32 } = this.machine.memory
    const sum = (word: number): number => {
      let total = 0
      for (let i = 0; i < this.#started; i++) total += loadAtomic32(i32, this.#tallies / 4 + i * 2 + word)
      return total
    }
    return [sum(1), sum(0)]
  }
  get pointers(): number[] {
    return this.#slots.flatMap((slots) =>
      Array.from({ length: SLOTS }, (_, i) => load32(this.machine.memory.i32, slots / 4 + i)).filter(Boolean),
    )
  }
}

describe('workers terminated in the middle of using per-CPU memory', () => {
  for (const { name, options } of kinds.filter((kind) => kind.options.smp)) {
    it(`leave all metadata right, nothing lost, and exact sums (${name})`, async () => {
      const machine = boot({ ...options, cpus: WORKERS + 1, memory: '16 MiB', percpu: { unit: 16384 } })
      const scene = new Scene(machine)
      const counter = machine.percpu.counter('counter', { batch: 7 })
      const ref = machine.percpu.ref('ref')
      const lock = machine.percpu.rwSemaphore('lock')
      machine.percpu.i32({ name: 'hits' })
      const [first] = machine.percpu.report().chunks
      const before = first?.allocations ?? 0
      // Those of the names.
      const pages = pagesOutside(machine)
      const living = Array.from({ length: WORKERS }, (_, place) => scene.start(place))
      try {
        for (let kill = 0; kill < kills; kill++) {
          const place = scene.random(WORKERS)
          const victim = living[place] ?? assert.fail()
          await victim.ready
          for (let i = scene.random(4); i > 0; i--) await machine.rcu.synchronize({ timeout: 20_000 })
          await victim.worker.terminate()
          await victim.reaped
          living[place] = scene.start(place)
        }
        await Promise.all(living.map(({ ready }) => ready))
      } finally {
        await Promise.all(living.map(({ worker }) => worker.terminate()))
      }
      await Promise.all(living.map(({ reaped }) => reaped))

      assert.ok(scene.turns > kills, `only ${scene.turns} turns`)
      machine.percpu.verify()
      sweepZones(machine)
      assert.equal(pagesOutside(machine), pages)
      const { chunks } = machine.percpu.report()
      const allocated = chunks.reduce((sum, { allocations }) => sum + allocations, 0) - before
      const lost = allocated - scene.pointers.length
      assert.ok(lost >= 0 && lost <= kills + WORKERS, `${lost} allocations lost (seed ${seed})`)
      const [least, most] = scene.counted
      const sum = counter.sum()
      assert.ok(least <= sum && sum <= most && most > 0, `${least} <= ${sum} <= ${most}`)
      assert.ok(most - least <= 3 * (kills + WORKERS))
      assert.equal(lock.readers, 0)
      ;(await lock.writeLock()).unlock()
      await ref.switchToAtomic()
      for (const pointer of scene.pointers) machine.percpu.free(pointer)
      machine.percpu.trim()
      machine.percpu.verify()
      assert.equal(pagesOutside(machine), pages)
    })
  }
})
