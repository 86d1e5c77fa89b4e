/**
 * Fast domains of SRCU: readers and updaters on several CPUs, one of which is killed anywhere.
 * What was freed is read by nobody, what was written before a grace period is found after it, and
 * no grace period is stuck.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  check,
  open,
  OVER,
  read,
  readLong,
  ringQuiesce,
  shared,
  tellOver,
  tellOverOfDead,
  turn,
  update,
  updater,
  withDomain,
} from './domain.js'

const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 60)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
const LEAVE = 2

describe('a fast domain', () => {
  it('frees nothing that a fast reader reads', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        updater(t, world, words, 1)
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await readLong(opened, words)
          read(opened, words)
          await opened.over
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('frees nothing in a second grace period that a reader found in the first one', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await opened.domain.synchronize()
          await update(opened, words)
          tellOver(opened, 1)
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await turn()
          await readLong(opened, words)
          await opened.over
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('learns of a reader that answers an older ring, and leaves right after it', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { machine, domain } = open(world, cpu)
          await new Promise<void>((resolve) => machine.cpus.onRing(LEAVE, resolve))
          await domain.synchronize()
          machine.cpus.ring(1, OVER)
        })
        t.cpu(1, async (cpu) => {
          const { machine, domain, over } = open(world, cpu)
          const token = domain.readLock()
          machine.cpus.onRing(LEAVE, () => domain.readUnlock(token))
          // As a grace period that it has reported for already.
          ringQuiesce(world, 1)
          machine.cpus.ring([0, 1], LEAVE)
          await over
        })
      },
      // All of it takes too long.
      { preemptions: 2, executions: 400 },
    )
  })

  it('frees nothing that tasks of one CPU read, in any order', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        updater(t, world, words, 1)
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await Promise.all([readLong(opened, words), turn().then(() => readLong(opened, words))])
          await opened.over
        })
      },
      { weak: true, preemptions: 0 },
    )
  })

  it('frees nothing that its own tasks read', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await Promise.all([
            readLong(opened, words),
            update(opened, words),
            turn().then(() => readLong(opened, words)),
          ])
          tellOver(opened, 1)
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          read(opened, words)
          await opened.over
        })
      },
      { weak: true, preemptions: 0 },
    )
  })

  it('frees nothing that one of two fast readers reads', async (test) => {
    const world = await withDomain(3, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        updater(t, world, words, 1, 2)
        for (const reader of [1, 2])
          t.cpu(reader, async (cpu) => {
            const opened = open(world, cpu)
            await readLong(opened, words)
            await opened.over
          })
      },
      { weak: true, mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })

  it('frees nothing that a CPU reads which was deaf', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        updater(t, world, words, 1)
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          const { machine, domain, over } = opened
          const token = domain.readLock()
          if (words.pointer.load() === 1) assert.equal(words.object, 42)
          machine.cpus.deaf(() => domain.readUnlock(token))
          read(opened, words)
          await over
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('is not held by a fast reader that is killed', async (test) => {
    const world = await withDomain(2, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        updater(t, world, words, 1)
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          read(opened, words)
          await opened.over
        })
        t.kill(1, { reaper: () => world.world.reap(1) })
      },
      { weak: true, mode: 'pct', executions: 2 * EXECUTIONS, seed: SEED },
    )
  })

  it('goes on when a fast updater is killed', async (test) => {
    const world = await withDomain(3, 'fast')
    await check(
      world,
      test,
      (t) => {
        const words = [shared(t, 'first'), shared(t, 'second')] as const
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await update(opened, words[0])
          tellOver(opened, 1)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await update(opened, words[1])
          await opened.over
          tellOver(opened, 0, 2)
        })
        t.cpu(2, async (cpu) => {
          const opened = open(world, cpu)
          await readLong(opened, words[1])
          await opened.over
        })
        t.kill(0, {
          reaper: () => {
            world.world.reap(0)
            tellOverOfDead(world, 1)
          },
        })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })
})
