/**
 * A big domain of SRCU: one CPU scans, the others sleep in the tree. No wake-up is lost, whoever
 * gives up, leaves or is killed, although nobody has any patience with the one that scans: a CPU
 * that is not rung sleeps for ever here.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext } from 'percpu-lab'
import {
  check,
  open,
  OVER,
  read,
  shared,
  turn,
  update,
  withDomain,
  type Opened,
  type Prepared,
} from './domain.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const { Ringer } = await import('../../../dist/cpus/ringer.js')
const { Cpu } = await import('../../../dist/machine/layouts.js')
const { SrcuTree } = await import('../../../dist/rcu/srcu-tree.js')

/** Of slot 0. */
const COOKIE = -100 * 4
const GO = 2
const Left = percpu.struct('Left', { updaters: percpu.atomic(percpu.i32) })
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)

/** A section and a grace period, which others find under way; both end some turns later. */
async function holdUp({ machine, domain }: Opened, ...others: number[]): Promise<void> {
  const token = domain.readLock()
  const over = domain.synchronize()
  machine.cpus.ring(others, GO)
  for (let turns = 0; turns < 3; turns++) await turn()
  domain.readUnlock(token)
  await over
}
/** From when {@link holdUp} tells. */
function held(world: Prepared, cpu: CpuContext) {
  const opened = open(world, cpu)
  const go = new Promise<void>((resolve) => opened.machine.cpus.onRing(GO, () => resolve()))
  return { ...opened, go }
}

describe('CPUs that wait for a big domain', () => {
  it('are told of the end by the one that scans', async (test) => {
    const world = await withDomain(3, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => holdUp(open(world, cpu), 1, 2))
        for (const waiter of [1, 2])
          t.cpu(waiter, async (cpu) => {
            const { domain, go } = held(world, cpu)
            await go
            await domain.synchronize()
          })
      },
      { mode: 'pct', executions: 4 * EXECUTIONS, seed: SEED },
    )
  })

  it('go on when one that sleeps gives up', async (test) => {
    const world = await withDomain(3, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => holdUp(open(world, cpu), 1, 2))
        t.cpu(1, async (cpu) => {
          const { domain, go } = held(world, cpu)
          const impatient = new AbortController()
          await go
          const wait = domain.synchronize({ signal: impatient.signal })
          await turn()
          impatient.abort(new Error('enough'))
          await wait.catch(() => undefined)
        })
        t.cpu(2, async (cpu) => {
          const { domain, go } = held(world, cpu)
          await go
          await domain.synchronize()
        })
      },
      { mode: 'pct', executions: 4 * EXECUTIONS, seed: SEED },
    )
  })

  it('free nothing that a reader reads', async (test) => {
    const world = await withDomain(3, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        const words = [shared(t, 'first'), shared(t, 'second')] as const
        for (const updater of [0, 1] as const)
          t.cpu(updater, async (cpu) => update(open(world, cpu), words[updater]))
        t.cpu(2, (cpu) => {
          const opened = open(world, cpu)
          read(opened, words[0])
          read(opened, words[1])
        })
      },
      { mode: 'pct', executions: 2 * EXECUTIONS, seed: SEED },
    )
  })

  it('are told through two levels', async (test) => {
    const world = await withDomain(4, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        for (const waiter of [0, 1, 2, 3]) t.cpu(waiter, async (cpu) => open(world, cpu).domain.synchronize())
      },
      { mode: 'pct', executions: 4 * EXECUTIONS, seed: SEED },
    )
  })

  it('go on when the one that scans gives up', async (test) => {
    const world = await withDomain(2, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { domain } = open(world, cpu)
          const token = domain.readLock()
          const impatient = new AbortController()
          const wait = domain.synchronize({ signal: impatient.signal })
          await turn()
          impatient.abort(new Error('enough'))
          await wait.catch(() => undefined)
          await turn()
          domain.readUnlock(token)
        })
        t.cpu(1, async (cpu) => open(world, cpu).domain.synchronize())
      },
      { preemptions: 1 },
    )
  })

  it('go on when the one that scans goes offline', async (test) => {
    const world = await withDomain(3, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { machine, domain } = open(world, cpu)
          void domain.synchronize().catch(() => undefined)
          await turn()
          await machine.offline()
        })
        t.cpu(1, async (cpu) => open(world, cpu).domain.synchronize())
        t.cpu(2, async (cpu) => {
          const { domain } = open(world, cpu)
          const token = domain.readLock()
          await turn()
          domain.readUnlock(token)
        })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('go on when one of them is killed', async (test) => {
    const world = await withDomain(3, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        for (const waiter of [0, 1, 2]) t.cpu(waiter, async (cpu) => open(world, cpu).domain.synchronize())
        t.kill(0, { reaper: () => world.world.reap(0) })
      },
      { mode: 'pct', executions: 10 * EXECUTIONS, seed: SEED },
    )
  })

  it('sleep while one that is in a hurry scans itself', async (test) => {
    const world = await withDomain(2, 'normal', 2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { domain } = open(world, cpu)
          await Promise.all([domain.synchronize(), turn().then(() => domain.synchronizeExpedited())])
        })
        t.cpu(1, async (cpu) => open(world, cpu).domain.synchronize())
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('of the fast flavour free nothing that a reader reads', async (test) => {
    const world = await withDomain(3, 'fast', 2)
    let ended = 0
    await check(
      world,
      test,
      (t) => {
        const words = [shared(t, 'first'), shared(t, 'second')] as const
        const left = t.memory(Left, 'left')
        left.updaters.store(2)
        for (const updater of [0, 1] as const)
          t.cpu(updater, async (cpu) => {
            const opened = open(world, cpu)
            await update(opened, words[updater])
            if (left.updaters.add(-1) === 1) opened.machine.cpus.ring([0, 1, 2], OVER)
            await opened.over
          })
        t.cpu(2, async (cpu) => {
          const opened = open(world, cpu)
          read(opened, words[0])
          read(opened, words[1])
          await opened.over
        })
        t.finally(() => {
          ended++
        })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
    assert.ok(ended > 0)
  })
})

describe('the tree', () => {
  it('leads to every CPU that has entered it and has not been rung', async (test) => {
    const world = await withDomain(4, 'normal', 2)
    const { memory, table } = world.world
    const ringer = new Ringer(table)
    const bit = (word: number, bits: number): boolean => (mem.loadAtomic32(memory.i32, word) & bits) !== 0
    await check(world, test, (t) => {
      const tree = new SrcuTree(memory, table.map, world.tree)
      for (const cpu of [0, 1]) t.cpu(cpu, () => tree.enter(cpu, COOKIE))
      // As one that is late, for the grace period that had the slot before.
      t.cpu(2, () => tree.wake(COOKIE, ringer, 2))
      t.finally(() => {
        const [leaf = 0, , root = 0] = world.tree
        for (const cpu of [0, 1]) {
          const isFound = bit(leaf, 1 << cpu) && bit(root, 1)
          assert.ok(isFound || bit(table.record(cpu) + Cpu.words.bell, -1), `CPU ${cpu}`)
        }
      })
    })
  })
})
