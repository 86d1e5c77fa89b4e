/**
 * GP-1 to GP-3, with every reader and updater killed anywhere: what was freed is read by nobody,
 * and no grace period is stuck.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest } from 'percpu-lab/testing'
import { check, prepare, USER, type BareCpu, type World } from '../../support/world.js'

const { REASON_QUIESCE } = await import('../../../dist/cpus/ringer.js')
const { Deadline } = await import('../../../dist/machine/wait-options.js')

const { struct, atomic, published, racy, i32 } = percpu
/**
 * `pointer` is 1 while the object may be found; `object` is poisoned when it is freed, then `over`
 * is set.
 */
const Words = struct('Words', { pointer: atomic(i32), object: published(i32), over: atomic(i32) })
const Pair = struct('Pair', { x: racy(i32), y: racy(i32) })

function shared(t: Scenario) {
  const words = t.memory(Words, 'words')
  words.pointer.store(1)
  words.object = 42
  return words
}
type Shared = ReturnType<typeof shared>

/** A section: a synchronous stretch. A reader that were overtaken would race with the freeing. */
function read(words: Shared): void {
  if (words.pointer.load() === 1) assert.equal(words.object, 42)
}
async function update(words: Shared, bare: BareCpu): Promise<void> {
  words.pointer.store(0)
  await bare.gracePeriods.synchronize()
  words.object = -1
}

describe('a grace period', () => {
  const readers: Record<string, (words: Shared, bare: BareCpu) => void> = {
    'answers its bell': (words) => read(words),
    'reads, answers and reads': (words, bare) => {
      read(words)
      bare.doorbell.answer()
      read(words)
    },
    leaves: (words, bare) => {
      read(words)
      bare.leave()
    },
    'goes deaf between two sections': (words, bare) => {
      read(words)
      bare.idle.deaf(() => undefined)
      read(words)
    },
    'sleeps between two sections': (words, bare) => {
      read(words)
      let looks = 0
      bare.idle.sleepUntil(() => ++looks === 2, new Deadline(), false)
      read(words)
    },
  }
  for (const [name, body] of Object.entries(readers)) {
    for (const killed of [false, true]) {
      it(`is never overtaken by a reader that ${name}${killed ? ', or is killed' : ''}`, async (test) => {
        const world = await prepare()
        await check(
          world,
          test,
          (t) => {
            const words = shared(t)
            t.cpu(0, async (cpu) => {
              const bare = world.bare(cpu)
              await update(words, bare)
              bare.ring(1)
            })
            t.cpu(1, async (cpu) => {
              const bare = world.bare(cpu)
              const told = bare.rung()
              body(words, bare)
              await told
            })
            if (killed) t.kill(1, { reaper: () => world.reap(1) })
          },
          { preemptions: killed ? 0 : 2 },
        )
      })
    }
  }

  it('ends when its reader leaves, and does not wait for one that joins', async (test) => {
    const world = await prepare()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          await update(words, world.bare(cpu))
        })
        t.cpu(1, (cpu) => {
          const bare = world.unprepared(cpu)
          read(words)
          bare.leave()
        })
      },
      { preemptions: 2 },
    )
  })

  it('does not wait for a CPU that stays deaf, or asleep, until it is over', async (test) => {
    const world = await prepare({ cpus: 3 })
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        const isOver = () => words.over.load() === 1
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          words.over.store(1)
          bare.doorbell.ringer.ring(2, 1 << 8)
        })
        t.cpu(1, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          bare.idle.deaf(() => mem.awaitUntil(isOver))
          read(words)
          bare.leave()
        })
        t.cpu(2, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          bare.idle.sleepUntil(isOver, new Deadline(), false)
          read(words)
          bare.leave()
        })
      },
      { preemptions: 1 },
    )
  })

  it('of an updater that is killed anywhere holds nobody up', async (test) => {
    const world = await prepare()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          await bare.gracePeriods.synchronize()
          bare.leave()
        })
        t.cpu(1, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          bare.leave()
        })
        t.kill(0, { reaper: () => world.reap(0) })
      },
      { mode: 'pct', executions: 2000 },
    )
  })
})

describe('the two ends of a grace period are full barriers for plain words:', () => {
  /**
   * CPU 0 writes x and reads y, CPU 1 writes y and reads x; `first` and `second` say what they do
   * between.
   */
  const storeBuffering =
    (
      first: (bare: BareCpu, write: () => void) => unknown,
      second: (bare: BareCpu, write: () => void) => unknown,
    ) =>
    async (test: NamedTest) => {
      const world = await prepare()
      const outcomes = new Set<string>()
      await check(
        world,
        test,
        (t) => {
          const pair = t.memory(Pair, 'pair')
          const body =
            (between: typeof first, mine: 'x' | 'y', other: 'x' | 'y') => async (cpu: CpuContext) => {
              const bare = world.bare(cpu)
              await between(bare, () => (pair[mine] = 1))
              const seen = pair[other]
              bare.doorbell.answer()
              bare.leave()
              return seen
            }
          t.cpu(0, body(first, 'x', 'y'))
          t.cpu(1, body(second, 'y', 'x'))
          t.finally((results) => {
            outcomes.add(String(results))
            assert.notDeepEqual(results, [0, 0])
          })
        },
        { weak: true, preemptions: 2 },
      )
      assert.ok(outcomes.size > 1, [...outcomes].join(' '))
    }
  /** Reads in the same job in which the grace period was begun. */
  const beginning = (bare: BareCpu, write: () => void) => {
    write()
    void bare.gracePeriods.synchronize()
    return { then: (resolve: () => void) => resolve() }
  }
  const answering = (bare: BareCpu, write: () => void) => {
    bare.doorbell.answer()
    return beginning(bare, write)
  }
  const ending = async (bare: BareCpu, write: () => void) => {
    const period = bare.gracePeriods.synchronize()
    write()
    await period
  }

  it('the beginning', storeBuffering(beginning, beginning))
  it('the end', storeBuffering(ending, answering))
})

describe('after a grace period every CPU finds what was written plainly before it,', () => {
  /**
   * A section: a plain look at `x`, and `y` counts those that found it 0. None may do so after the
   * grace period.
   */
  function count(pair: { x: number; y: number }): void {
    if (pair.x === 0) pair.y++
  }
  const scene =
    (others: (world: World, t: Scenario, pair: { x: number; y: number }) => void) =>
    async (test: NamedTest) => {
      const world = await prepare({ cpus: 3 })
      const outcomes = new Set<string>()
      await check(
        world,
        test,
        (t) => {
          const pair = t.memory(Pair, 'pair')
          t.cpu(0, async (cpu) => {
            const bare = world.bare(cpu)
            pair.x = 1
            await bare.gracePeriods.synchronize()
            const counted = pair.y
            bare.leave()
            return counted
          })
          others(world, t, pair)
          t.finally(([counted]) => {
            outcomes.add(String(counted))
            assert.equal(pair.y, counted)
          })
        },
        { weak: true, preemptions: 2 },
      )
      assert.ok(outcomes.size > 1, [...outcomes].join(' '))
    }

  it(
    'also if what it answers is an older ring',
    scene((world, t, pair) => {
      t.cpu(1, (cpu) => {
        const bare = world.bare(cpu)
        count(pair)
        bare.doorbell.answer()
        count(pair)
        bare.doorbell.answer()
        bare.leave()
      })
      t.cpu(2, (cpu) => {
        // As a grace period of its own does.
        const bare = world.bare(cpu)
        bare.doorbell.ringer.ring(1, REASON_QUIESCE)
        bare.leave()
      })
    }),
  )

  it(
    'also if it was deaf while it answered, and could not answer afterwards',
    scene((world, t, pair) => {
      t.cpu(1, (cpu) => {
        const bare = world.bare(cpu)
        bare.doorbell.on(USER, () => {
          bare.idle.deaf(() => undefined)
          count(pair)
        })
        bare.ring(1)
        bare.doorbell.answer()
        bare.leave()
      })
    }),
  )

  it(
    'also if it comes online meanwhile',
    scene((world, t, pair) => {
      t.cpu(1, (cpu) => {
        const bare = world.unprepared(cpu)
        count(pair)
        bare.leave()
      })
    }),
  )
})
