/**
 * A CPU that is killed anywhere while it folds into a counter, and one that wants the counter's
 * lock: it frees the lock itself if the system tells that the owner's thread has ended, while a
 * supervisor may be cleaning up after the owner, too. It may be killed then as well.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext } from 'percpu-lab'
import { check, prepare, type World } from '../../support/world.js'

const { CpuTable } = await import('../../../dist/cpus/cpu-table.js')
const { tokenOf } = await import('../../../dist/machine/token.js')
const { PercpuCounterLayout } = await import('../../../dist/percpu/layouts.js')
const { LAYER_PERCPU, LayerLock } = await import('../../../dist/sync/layer-lock.js')
const { SyncMap } = await import('../../../dist/sync/sync-map.js')
const { Patience } = await import('../../../dist/sync/patience.js')
const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 150)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

/** What a CPU has counted for sure, and whether the system tells that it was killed. */
const Progress = percpu.struct('Progress', {
  counted: percpu.atomic(percpu.i32),
  ended: percpu.atomic(percpu.i32),
})
/** Of the bodies, by number, in the execution at hand. */
let progress: readonly ReturnType<(typeof Progress)['at']>[] = []

// The bodies are threads of their own for the system.
CpuTable.prototype.osThread = (_cpu, key) => -key
CpuTable.prototype.osState = function (this: InstanceType<typeof CpuTable>, cpu, key = this.thread(cpu)) {
  return progress[key - 101]?.ended.load() === 1 ? 'gone' : 'running'
}

// Each look at a lock that is not free counts as 25 ms of waiting.
let now = 1e9
const isOver = Reflect.get<object, string>(Patience.prototype, 'isOver') as (
  this: object,
  owner: number,
) => boolean
Patience.prototype.isOver = function (owner) {
  const original = performance.now.bind(performance)
  performance.now = () => (now += 25)
  try {
    return isOver.call(this, owner)
  } finally {
    performance.now = original
  }
}

/** Two additions, each of which is folded. */
function count(world: World, cpu: CpuContext): () => number {
  const machine = world.joined(cpu)
  const counter = cpu.prepare(() => machine.percpu.counter('count', { batch: 1 }))
  return () => {
    for (let i = 0; i < 2; i++) counter.add(1)
    return counter.sum()
  }
}

interface Shared {
  readonly world: World
  /** Word index of the counter's lock. */
  readonly lock: number
}
async function withCounter(): Promise<Shared> {
  const world = await prepare({ cpus: 4 }, (machine) => machine.percpu.counter('count', { batch: 1 }))
  const { address } = [...world.names.each('counter')][0] ?? assert.fail()
  return { world, lock: address / 4 + PercpuCounterLayout.words.lock }
}
/** Comes after the end of body `number`, and cleans up after it. Somebody may do so meanwhile. */
function reap(world: World, number: number): void {
  world.reap(number)
  // It may get the number of one of them, once that is cleaned up after for good, and keeps it.
  const next = world.join(3 + number)
  const sum = next.percpu.counter('count', { batch: 1 }).sum()
  assert.ok(sum >= 0 && sum <= 4, String(sum))
  next.percpu.verify()
  assert.equal(world.table.thread(next.cpu), 104 + number)
}

describe('the lock of a layer whose owner is killed', () => {
  const options = { mode: 'pct', executions: EXECUTIONS, seed: SEED, maxSteps: 80_000 } as const

  it('anywhere is freed by who waits for it', async (test) => {
    const { world } = await withCounter()
    await check(
      world,
      test,
      (t) => {
        progress = [0, 1].map((cpu) => t.memory(Progress, `progress[${cpu}]`))
        for (const number of [0, 1])
          t.cpu(number, (cpu) => {
            const sum = count(world, cpu)()
            assert.ok(sum >= 2 && sum <= 4, String(sum))
          })
        t.kill(0, {
          reaper: () => {
            progress[0]?.ended.store(1)
            reap(world, 0)
          },
        })
      },
      options,
    )
  })

  it('in the middle is freed by who waits for it, and may die as well', async (test) => {
    const { world, lock } = await withCounter()
    await check(
      world,
      test,
      (t) => {
        progress = [0, 1].map((cpu) => t.memory(Progress, `progress[${cpu}]`))
        t.cpu(0, (cpu) => {
          const machine = world.joined(cpu)
          const locks = cpu.prepare(() => {
            const { memory, table, objects } = world
            const record = SyncMap.open(memory, objects).layerRecord(machine.cpu, LAYER_PERCPU)
            return new LayerLock(memory, record, tokenOf(machine.cpu, table.incarnation(machine.cpu)))
          })
          locks.lock(lock)
          progress[0]?.ended.store(1)
        })
        t.cpu(1, (cpu) => {
          assert.equal(count(world, cpu)(), 2)
        })
        t.cpu(2, () => {
          mem.awaitUntil(() => progress[0]?.ended.load() === 1)
          reap(world, 0)
        })
        t.kill(1, {
          reaper: () => {
            progress[1]?.ended.store(1)
            reap(world, 1)
          },
        })
      },
      options,
    )
  })
})
