/**
 * GP-1 and GP-2 on a tree of two levels: CPUs 0 and 1 are a leaf, CPU 2 is another one. Whoever
 * begins a grace period, reports last, or ends it may be killed anywhere.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu, type Scenario } from 'percpu-lab'
import type { NamedTest } from 'percpu-lab/testing'
import { check, prepare, type BareCpu, type World } from '../../support/world.js'

const { Deadline } = await import('../../../dist/machine/wait-options.js')
const { struct, atomic, published, racy, i32 } = percpu

/** `pointer` is 1 while the object may be found; `object` is poisoned when it is freed. */
const Words = struct('Words', { pointer: atomic(i32), object: published(i32) })
const Pair = struct('Pair', { x: racy(i32), y: racy(i32) })

const twoLevels = () => prepare({ cpus: 3, fanout: 2 })
/** Number 1 is taken: so bodies 0 and 1 are CPUs 0 and 2, each the only one of its leaf. */
const twoLeaves = () => prepare({ cpus: 3, fanout: 2 }, (_machine, world) => world.table.claim(999))

function shared(t: Scenario) {
  const words = t.memory(Words, 'words')
  words.pointer.store(1)
  words.object = 42
  return words
}
type Shared = ReturnType<typeof shared>

function read(words: Shared): void {
  if (words.pointer.load() === 1) assert.equal(words.object, 42)
}
async function update(words: Shared, bare: BareCpu, isExpedited = false): Promise<void> {
  words.pointer.store(0)
  await bare.gracePeriods.synchronize(new Deadline(), isExpedited)
  words.object = -1
}

/** A CPU that reads, then stays in its event loop until the updater is done. */
function reader(world: World, t: Scenario, number: number, words: Shared): void {
  t.cpu(number, async (cpu) => {
    const bare = world.bare(cpu)
    const told = bare.rung()
    read(words)
    await told
  })
}
function tellAll(bare: BareCpu, cpus: readonly number[]): void {
  for (const cpu of cpus) bare.ring(cpu)
}

describe('a grace period of a tree of two levels', () => {
  for (const isExpedited of [false, true])
    it(`is overtaken by no reader of any leaf${isExpedited ? ', in a hurry' : ''}`, async (test) => {
      const world = await twoLevels()
      await check(
        world,
        test,
        (t) => {
          const words = shared(t)
          t.cpu(0, async (cpu) => {
            const bare = world.bare(cpu)
            await update(words, bare, isExpedited)
            tellAll(bare, [1, 2])
          })
          reader(world, t, 1, words)
          reader(world, t, 2, words)
        },
        { preemptions: 2 },
      )
    })

  it('ends when a reader of another leaf is killed anywhere', async (test) => {
    const world = await twoLeaves()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          bare.ring(2)
        })
        reader(world, t, 1, words)
        t.kill(1, { reaper: () => world.reap(1) })
      },
      { preemptions: 0 },
    )
  })

  it('ends although the CPU that began it is killed anywhere', async (test) => {
    const world = await twoLeaves()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          const told = bare.rung()
          bare.gracePeriods.request(bare.gracePeriods.snap())
          await told
        })
        t.cpu(1, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          bare.ring(0)
        })
        t.kill(0, { reaper: () => world.reap(0) })
      },
      { preemptions: 0 },
    )
  })

  it('serves two updaters, and ends although a CPU leaves and another is deaf meanwhile', async (test) => {
    const world = await twoLevels()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          bare.leave()
        })
        t.cpu(1, async (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          await bare.gracePeriods.synchronize()
          bare.leave()
        })
        t.cpu(2, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          bare.idle.deaf(() => undefined)
          read(words)
          bare.leave()
        })
      },
      { preemptions: 1 },
    )
  })

  it('waits for no CPU of a leaf that is idle, and for the one that joins meanwhile only if it must', async (test) => {
    const world = await twoLevels()
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          await update(words, bare)
          bare.leave()
        })
        t.cpu(1, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          bare.leave()
        })
        t.cpu(2, (cpu) => {
          const bare = world.unprepared(cpu)
          read(words)
          bare.leave()
        })
      },
      { preemptions: 2 },
    )
  })

  it('blocks a waiter without holding up another', async (test) => {
    const world = await prepare({ cpus: 2, fanout: 2 })
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        const wait = (bare: BareCpu) => {
          const sleep = (done: () => boolean) => bare.idle.sleepUntil(done, new Deadline(), true)
          bare.gracePeriods.synchronizeBlocking(sleep, new Deadline())
        }
        t.cpu(0, (cpu) => {
          const bare = world.bare(cpu)
          words.pointer.store(0)
          wait(bare)
          words.object = -1
          bare.leave()
        })
        t.cpu(1, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          wait(bare)
          read(words)
          bare.leave()
        })
      },
      { preemptions: 2 },
    )
  })

  it('is begun once, also by a deaf CPU that nobody waits for', async (test) => {
    const world = await prepare({ cpus: 2, fanout: 2 })
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, (cpu) => {
          const bare = world.bare(cpu)
          bare.idle.deaf(() => bare.gracePeriods.request(bare.gracePeriods.snap()))
          bare.leave()
        })
        t.cpu(1, async (cpu) => {
          const bare = world.bare(cpu)
          await bare.gracePeriods.synchronize()
          bare.leave()
        })
      },
      { preemptions: 2 },
    )
  })

  it('may be polled for by its cookie', async (test) => {
    const world = await prepare({ cpus: 2, fanout: 2 })
    await check(
      world,
      test,
      (t) => {
        const words = shared(t)
        t.cpu(0, async (cpu) => {
          const bare = world.bare(cpu)
          words.pointer.store(0)
          const cookie = bare.gracePeriods.snap()
          bare.gracePeriods.request(cookie)
          await Promise.resolve()
          if (bare.gracePeriods.poll(cookie)) words.object = -1
          bare.leave()
        })
        t.cpu(1, (cpu) => {
          const bare = world.bare(cpu)
          read(words)
          bare.doorbell.answer()
          read(words)
          bare.leave()
        })
      },
      { preemptions: 3 },
    )
  })
})

describe('after a grace period of a tree of two levels', () => {
  it('every CPU of another leaf finds what was written plainly before it', async (test: NamedTest) => {
    const world = await twoLevels()
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
        t.cpu(1, (cpu) => {
          world.bare(cpu).leave()
        })
        t.cpu(2, (cpu) => {
          const bare = world.bare(cpu)
          const count = () => {
            if (pair.x === 0) pair.y++
          }
          count()
          bare.doorbell.answer()
          count()
          bare.leave()
        })
        t.finally(([counted]) => {
          outcomes.add(String(counted))
          assert.equal(pair.y, counted)
        })
      },
      { weak: true, preemptions: 2 },
    )
    assert.ok(outcomes.size > 1, [...outcomes].join(' '))
  })
})
