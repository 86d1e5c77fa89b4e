/**
 * Reference counts: CPUs that take and give back references, in either mode and while it changes,
 * one of which is killed anywhere. The object is released once, when nobody has a reference (who
 * still read it would race with its end), whoever dies.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import { check as explored, prepare, type World } from '../../support/world.js'

const { PercpuRefLayout } = await import('../../../dist/percpu/layouts.js')
const { Ringer, USER_REASONS_SHIFT } = await import('../../../dist/cpus/ringer.js')

/** What the references protect. */
const Thing = percpu.struct('Thing', { value: percpu.published(percpu.i32) })
const OVER = 1
/** One reference, all CPUs counting together. */
const ATOMIC = 8 + 1 + 2

function check(
  world: World,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options: TestExploreOptions,
): Promise<void> {
  const scenario = (t: Scenario) => {
    t.name(world.memory, addressOf(world), PercpuRefLayout, 'r')
    describe(t)
  }
  return explored(world, test, scenario, options)
}
function addressOf(world: World): number {
  const { address } = [...world.names.each('ref')][0] ?? assert.fail()
  return address
}
async function withRef(state?: number): Promise<World> {
  const world = await prepare({ cpus: 2 }, (machine) => void machine.percpu.ref('r'))
  const words = world.at(PercpuRefLayout, addressOf(world))
  if (state === undefined) return world
  words.state.store(state)
  words.mode = 1
  return world
}

/**
 * A CPU with the reference count. `over` resolves when it is told that it may end; until then it
 * answers its bell.
 */
function open(world: World, cpu: CpuContext) {
  return cpu.prepare(() => {
    const machine = world.join(cpu.number)
    const over = new Promise<void>((resolve) => machine.cpus.onRing(OVER, () => resolve()))
    return { machine, ref: machine.percpu.ref('r'), over }
  })
}
type Opened = ReturnType<typeof open>
type Word = ReturnType<typeof thingOf>
const thingOf = (t: Scenario) => t.memory(Thing, 'thing')
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Returns whether it was alive. */
async function use({ ref }: Opened, thing: Word): Promise<boolean> {
  if (!ref.tryGetLive()) return false
  await turn()
  assert.equal(thing.value, 0)
  ref.put()
  return true
}
async function destroy({ machine, ref }: Opened, thing: Word): Promise<void> {
  await ref.kill()
  assert.equal(ref.tryGetLive(), false)
  await ref.released()
  thing.value = -1
  machine.cpus.ring(0, OVER)
}

describe('a reference count', () => {
  it('is released when the last one has given back what it took', async (test) => {
    const world = await withRef()
    await check(
      world,
      test,
      (t) => {
        const thing = thingOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await use(opened, thing)
          await use(opened, thing)
          await opened.over
          assert.equal(await use(opened, thing), false)
        })
        t.cpu(1, (cpu) => destroy(open(world, cpu), thing))
      },
      { weak: true, preemptions: 2 },
    )
  })

  it('loses nothing when each CPU counts for itself again', async (test) => {
    const world = await withRef(ATOMIC)
    await check(
      world,
      test,
      (t) => {
        const thing = thingOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await use(opened, thing)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          await opened.ref.switchToPercpu()
          await destroy(opened, thing)
        })
      },
      { weak: true, preemptions: 2 },
    )
  })

  it('is what it was when its killer gives up, and tries again', async (test) => {
    const world = await withRef()
    await check(
      world,
      test,
      (t) => {
        const thing = thingOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await use(opened, thing)
          await use(opened, thing)
          await opened.over
        })
        t.cpu(1, async (cpu) => {
          const opened = open(world, cpu)
          const controller = new AbortController()
          const killing = opened.ref.kill({ signal: controller.signal }).then(
            () => true,
            () => false,
          )
          await turn()
          controller.abort()
          if (await killing) {
            await opened.ref.released()
            thing.value = -1
            opened.machine.cpus.ring(0, OVER)
          } else {
            await destroy(opened, thing)
          }
        })
      },
      { weak: true, preemptions: 1 },
    )
  })

  it('is released by those who wait when the one who kills it dies', async (test) => {
    const world = await withRef()
    await check(
      world,
      test,
      (t) => {
        const thing = thingOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          const { ref, over } = opened
          await use(opened, thing)
          await over
          if (!ref.isDying) assert.equal(await use(opened, thing), true)
          else await ref.released()
        })
        t.cpu(1, async (cpu) => {
          const { machine, ref } = open(world, cpu)
          await ref.kill()
          machine.cpus.ring(0, OVER)
        })
        t.kill(1, {
          reaper: () => {
            world.reap(1)
            new Ringer(world.table).ring(0, 1 << (USER_REASONS_SHIFT + OVER))
          },
        })
      },
      { weak: true, preemptions: 0 },
    )
  })

  it('stays what it was when one dies who takes it into use again', async (test) => {
    const world = await withRef(ATOMIC)
    await check(
      world,
      test,
      (t) => {
        const thing = thingOf(t)
        t.cpu(0, async (cpu) => {
          const opened = open(world, cpu)
          await use(opened, thing)
          await opened.over
          await opened.ref.kill()
          assert.equal(opened.ref.isZero, true)
          opened.machine.cpus.ring(1, OVER)
        })
        t.cpu(1, async (cpu) => {
          const { machine, ref, over } = open(world, cpu)
          await ref.switchToPercpu()
          machine.cpus.ring(0, OVER)
          await over
        })
        t.kill(1, {
          reaper: () => {
            world.reap(1)
            new Ringer(world.table).ring(0, 1 << (USER_REASONS_SHIFT + OVER))
          },
        })
      },
      { weak: true, preemptions: 0 },
    )
  })
})
