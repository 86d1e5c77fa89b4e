/**
 * The lock for many readers: readers and writers on several CPUs, one of which is killed anywhere.
 * Nobody reads what is being written (it would be a data race), no writer waits for a reader that
 * is gone, and no writer's death goes unnoticed.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import { Cell, check as explored, prepare, type World } from '../../support/world.js'

const { PercpuRwSemaphoreLayout } = await import('../../../dist/percpu/layouts.js')

/** Plain words under the lock: both are written by a writer, one after the other. */
const Pair = percpu.struct('Pair', { x: percpu.published(percpu.i32), y: percpu.published(percpu.i32) })
const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 100)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
const OVER = 1
const SLOW = 3

function check(
  world: World,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
): Promise<void> {
  const address = addressOf(world)
  const words = world.at(PercpuRwSemaphoreLayout, address)
  const scenario = (t: Scenario) => {
    t.name(world.memory, address, PercpuRwSemaphoreLayout, 's')
    // Whoever dies between: with readers that are fast, no writer takes them for slow.
    t.invariant(() => assert.ok(words.mode !== 0 || words.state.load() !== SLOW))
    describe(t)
  }
  return explored(world, test, scenario, options)
}
function addressOf(world: World): number {
  const { address } = [...world.names.each('rwSemaphore')][0] ?? assert.fail()
  return address
}
const withLock = (cpus: number): Promise<World> =>
  prepare({ cpus }, (machine) => void machine.percpu.rwSemaphore('s'))

/**
 * A CPU with the lock. `over` resolves when it is told that it may end; until then it answers its
 * bell.
 */
function open(world: World, cpu: CpuContext, number = cpu.number) {
  return cpu.prepare(() => {
    const machine = world.join(number)
    const over = new Promise<void>((resolve) => machine.cpus.onRing(OVER, () => resolve()))
    return { machine, lock: machine.percpu.rwSemaphore('s'), over }
  })
}

type Opened = ReturnType<typeof open>
type Words = ReturnType<typeof pairOf>
const pairOf = (t: Scenario) => t.memory(Pair, 'pair')
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A reader may await: the mode may change meanwhile. */
async function read({ lock }: Opened, pair: Words): Promise<number> {
  const guard = await lock.readLockAsync()
  const { x } = pair
  await turn()
  const { y } = pair
  guard.unlock()
  assert.equal(x, y)
  return x
}
/**
 * Returns whether the writer before died. What that one left half-written is half-written still.
 */
async function write({ lock }: Opened, pair: Words): Promise<boolean> {
  const guard = await lock.writeLock()
  const { predecessorDied } = guard
  if (!predecessorDied) assert.equal(pair.x, pair.y)
  pair.x++
  pair.y = pair.x
  guard.unlock()
  return predecessorDied
}
/** The last writer lets the others end, when readers are as fast again as they will be. */
async function end({ machine }: Opened, ...cpus: number[]): Promise<void> {
  await machine.rcu.synchronize()
  await turn()
  machine.cpus.ring(cpus, OVER)
}

describe('a lock for many readers', () => {
  it('keeps readers and a writer apart, and lets readers be fast again', async (test) => {
    const world = await withLock(2)
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          const first = await read(opened, pair)
          const second = await read(opened, pair)
          await opened.over
          assert.ok(first <= second)
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await write(opened, pair)
          await end(opened, 0)
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('shows a reader that is fast again what the last writer wrote', async (test) => {
    const world = await withLock(2)
    // As a writer leaves it.
    const words = world.at(PercpuRwSemaphoreLayout, addressOf(world))
    words.state.store(SLOW)
    words.mode = 1
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await read(opened, pair)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await write(opened, pair)
          await end(opened, 0)
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('keeps two writers and a reader apart', async (test) => {
    const world = await withLock(3)
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await read(opened, pair)
          await opened.over
        })
        const written = t.memory(Cell, 'written')
        for (const number of [1, 2])
          t.cpu(number, async (cpu) => {
            const opened = open(world, cpu)
            await write(opened, pair)
            if (written.value.add(1) === 0) await opened.over
            else await end(opened, 0, 3 - number)
          })
        t.finally(() => assert.equal(pair.x, 2))
      },
      { weak: true, mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('keeps them apart when a writer gives up, and tries again', async (test) => {
    const world = await withLock(2)
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await read(opened, pair)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          const controller = new AbortController()
          const writing = opened.lock.writeLock({ signal: controller.signal }).then(
            (guard) => guard.unlock(),
            () => undefined,
          )
          await turn()
          controller.abort()
          await writing
          await write(opened, pair)
          await end(opened, 0)
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('is not held by a reader that is killed', async (test) => {
    const world = await withLock(2)
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await read(opened, pair)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await write(opened, pair)
          opened.machine.cpus.ring(0, OVER)
        })
        t.kill(0, { reaper: () => world.reap(0) })
      },
      { weak: true, preemptions: 0 },
    )
  })

  it('tells the next writer of one that is killed while it writes, whoever reads between', async (test) => {
    const world = await withLock(2)
    await check(
      world,
      test,
      (t) => {
        const pair = pairOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await write(opened, pair)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          const guard = await opened.lock.readLockAsync()
          const isHalf = pair.x !== pair.y
          guard.unlock()
          const told = await write(opened, pair)
          assert.ok(told || !isHalf)
          opened.machine.cpus.ring(0, OVER)
        })
        t.kill(0, { reaper: () => world.reap(0) })
      },
      { preemptions: 0 },
    )
  })
})
