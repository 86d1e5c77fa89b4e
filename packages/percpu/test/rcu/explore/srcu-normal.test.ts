/**
 * Normal domains of SRCU: readers and updaters on several CPUs, one of which is killed anywhere.
 * What was freed is read by nobody, what was written before a grace period is found after it, and
 * no grace period is stuck.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu } from 'percpu-lab'
import { check, open, read, readLong, shared, turn, update, withDomain, type Opened } from './domain.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
const Token = percpu.struct('Token', { token: percpu.atomic(percpu.i32) })

describe('a normal domain', () => {
  it('frees nothing that a normal reader reads', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(world, test, (t) => {
      const words = shared(t)
      t.cpu(0, async (cpu) => update(open(world, cpu), words))
      t.cpu(1, (cpu) => read(open(world, cpu), words))
    })
  })

  it('frees nothing that one of two normal readers reads', async (test) => {
    const world = await withDomain(3, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => update(open(world, cpu), words))
        for (const reader of [1, 2]) t.cpu(reader, (cpu) => read(open(world, cpu), words))
      },
      { preemptions: 1 },
    )
  })

  it('frees nothing that one of four readers reads', async (test) => {
    const world = await withDomain(5, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => update(open(world, cpu), words))
        for (const reader of [1, 2, 3, 4]) t.cpu(reader, (cpu) => read(open(world, cpu), words))
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('waits for a reader that found its rank before the last grace period', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await opened.domain.synchronize()
          await update(opened, words)
        })
        t.cpu(1, (cpu) => read(open(world, cpu), words))
      },
      { preemptions: 2 },
    )
  })

  it('shows what was written before a grace period to plain reads after it', async (test) => {
    const world = await withDomain(2, 'normal')
    const Pair = percpu.struct('Pair', { x: percpu.racy(percpu.i32), y: percpu.racy(percpu.i32) })
    const outcomes = new Set<string>()
    await check(
      world,
      test,
      (t) => {
        const pair = t.memory(Pair, 'pair')
        t.cpu(0, async (cpu) => {
          const { domain } = open(world, cpu)
          pair.x = 1
          await domain.synchronize()
          pair.y = 1
        })
        t.cpu(1, (cpu) => {
          const { domain } = open(world, cpu)
          const token = domain.readLock()
          const { y } = pair
          const { x } = pair
          domain.readUnlock(token)
          return `${y}${x}`
        })
        t.finally((results) => {
          outcomes.add(String(results[1]))
          assert.notEqual(results[1], '10')
        })
      },
      { weak: true },
    )
    assert.ok(outcomes.size > 1)
  })

  it('shows it also after a grace period that another CPU drove', async (test) => {
    const world = await withDomain(3, 'normal')
    const Pair = percpu.struct('Pair', { x: percpu.racy(percpu.i32), y: percpu.racy(percpu.i32) })
    await check(
      world,
      test,
      (t) => {
        const pair = t.memory(Pair, 'pair')
        t.cpu(0, async (cpu) => {
          const { domain } = open(world, cpu)
          pair.x = 1
          await domain.synchronize()
          pair.y = 1
        })
        t.cpu(1, async (cpu) => open(world, cpu).domain.synchronize())
        t.cpu(2, (cpu) => {
          const { domain } = open(world, cpu)
          const token = domain.readLock()
          const { y } = pair
          const { x } = pair
          domain.readUnlock(token)
          return `${y}${x}`
        })
        t.finally((results) => assert.notEqual(results[2], '10'))
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('frees nothing that a task of the updater reads', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await Promise.all([readLong(opened, words), update(opened, words)])
        })
        t.cpu(1, (cpu) => read(open(world, cpu), words))
      },
      { preemptions: 2 },
    )
  })

  it('tells a CPU that waits when another one has ended the grace period', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { domain } = open(world, cpu)
          const token = domain.readLock()
          const over = domain.synchronize()
          await turn()
          domain.readUnlock(token)
          await over
        })
        t.cpu(1, async (cpu) => open(world, cpu).domain.synchronize())
      },
      { preemptions: 1 },
    )
  })

  it('lets two updaters help each other', async (test) => {
    const world = await withDomain(3, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = [shared(t, 'first'), shared(t, 'second')] as const
        t.cpu(0, async (cpu) => update(open(world, cpu), words[0]))
        t.cpu(1, async (cpu) => update(open(world, cpu), words[1]))
        t.cpu(2, (cpu) => {
          const opened = open(world, cpu)
          const token = opened.domain.readLock()
          read(opened, words[0])
          read(opened, words[1])
          opened.domain.readUnlock(token)
        })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('is interrupted between any two steps of a reader, by another one', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => update(open(world, cpu), words))
        let reader: Opened
        t.cpu(1, (cpu) => {
          reader = open(world, cpu)
          read(reader, words)
        })
        t.irq(1, () => read(reader, words))
      },
      { preemptions: 0 },
    )
  })

  it('waits for a section that ends on another CPU', async (test) => {
    const world = await withDomain(3, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        const token = t.memory(Token, 'token')
        t.cpu(0, async (cpu) => update(open(world, cpu), words))
        t.cpu(1, (cpu) => {
          token.token.store(1 + open(world, cpu).domain.downRead())
        })
        t.cpu(2, (cpu) => {
          const { domain } = open(world, cpu)
          mem.awaitUntil(() => token.token.load() !== 0)
          if (words.pointer.load() === 1) assert.equal(words.object, 42)
          domain.upRead(token.token.load() - 1)
        })
      },
      { preemptions: 2 },
    )
  })

  it('is not held by a normal reader that is killed', async (test) => {
    const world = await withDomain(2, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => update(open(world, cpu), words))
        t.cpu(1, (cpu) => read(open(world, cpu), words))
        t.kill(1, { reaper: () => world.world.reap(1) })
      },
      { preemptions: 0 },
    )
  })

  it('goes on when a normal updater is killed', async (test) => {
    const world = await withDomain(3, 'normal')
    await check(
      world,
      test,
      (t) => {
        const words = [shared(t, 'first'), shared(t, 'second')] as const
        t.cpu(0, async (cpu) => update(open(world, cpu), words[0]))
        t.cpu(1, async (cpu) => update(open(world, cpu), words[1]))
        t.cpu(2, (cpu) => {
          const opened = open(world, cpu)
          read(opened, words[1])
        })
        t.kill(0, { reaper: () => world.world.reap(0) })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })
})
