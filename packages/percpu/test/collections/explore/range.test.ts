/**
 * A map of ranges that two CPUs use at the same time, in every order of their accesses; one of them
 * may be killed anywhere. What their calls give is what one map after the other would give.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CpuContext } from 'percpu-lab'
import type { Machine, SharedRangeMap } from 'percpu'
import { check, prepare, type World } from '../../support/world.js'

type Numbers = SharedRangeMap<number, number>
const options = { key: 'u32', value: 'u32' } as const

/** The first half and the second half of the keys that are used, 0 to 9. */
class Halves {
  low: number | undefined = 1
  high: number | undefined = 1
  both(value: number): void {
    this.low = value
    this.high = value
  }
  part(value: number): void {
    this.high = value
  }
  read(): string {
    return `${this.low} ${this.high}`
  }
}
const rules = { queries: ['read'] } as const
const read = (map: Numbers): string => map.snapshot((view) => `${view.lookup(0)} ${view.lookup(9)}`)

const withMap = (cpus: number): Promise<World> =>
  prepare({ cpus }, (machine) => {
    const map = machine.rangeMap('m', options)
    map.set(0, 9, 0)
    map.set(0, 9, 1)
  })

/** A map, with what its CPU needs for some changes taken. */
function open(world: World, cpu: CpuContext): { machine: Machine; map: Numbers } {
  return cpu.prepare(() => {
    const machine = world.join(cpu.number)
    const map = machine.rangeMap('m', options)
    map.set(20 + cpu.number * 2, 20 + cpu.number * 2, 7)
    map.delete(20 + cpu.number * 2, 20 + cpu.number * 2)
    return { machine, map }
  })
}

describe('a map of ranges', () => {
  it('gives one version after the other', async (test) => {
    const world = await withMap(2)
    await check(
      world,
      test,
      (t) => {
        const history = t.history(Halves, rules)
        t.cpu(0, (cpu) => {
          const { map } = open(world, cpu)
          history.call('both', [2], () => void map.set(0, 9, 2))
          history.call('part', [3], () => void map.set(5, 9, 3))
        })
        t.cpu(1, (cpu) => {
          const { map } = open(world, cpu)
          for (let i = 0; i < 2; i++) history.call('read', [], () => read(map))
        })
      },
      { preemptions: 1 },
    )
  })

  it('has what a killed thread has changed, or nothing of it', async (test) => {
    const world = await withMap(2)
    await check(world, test, (t) => {
      const history = t.history(Halves, rules)
      t.cpu(0, (cpu) => {
        const { map } = open(world, cpu)
        history.call('both', [2], () => void map.set(0, 9, 2))
      })
      t.kill(0, {
        reaper: () => {
          world.reap(0)
          const map = world.join(4).rangeMap('m', options)
          for (let i = 0; i < 2; i++) history.call('read', [], () => read(map))
        },
      })
    })
  })

  it('gives a reader beside a killed thread one version after the other', async (test) => {
    const world = await withMap(3)
    await check(
      world,
      test,
      (t) => {
        const history = t.history(Halves, rules)
        t.cpu(0, (cpu) => {
          const { map } = open(world, cpu)
          history.call('both', [2], () => void map.set(0, 9, 2))
        })
        t.cpu(1, (cpu) => {
          const { map } = open(world, cpu)
          for (let i = 0; i < 2; i++) history.call('read', [], () => read(map))
        })
        t.kill(0, {
          reaper: () => {
            world.reap(0)
          },
        })
      },
      { preemptions: 0 },
    )
  })

  it('frees once what a killed thread had begun to free', async (test) => {
    const world = await withMap(2)
    await check(
      world,
      test,
      (t) => {
        t.cpu(0, async (cpu) => {
          const { map } = open(world, cpu)
          map.set(0, 9, 2)
          await map.barrier()
          return true
        })
        t.kill(0, {
          reaper: async () => {
            world.reap(0)
            const next = world.join(4)
            const map = next.rangeMap('m', options)
            await map.barrier()
            map.verify()
            next.heap.verify({ quiet: true })
            // The version, that which is to be empty, its one leaf, and its reserve.
            const left = next.heap.allocations().filter(({ size }) => size < 4096)
            assert.equal(left.length, 6, JSON.stringify(left))
            await next.offline()
          },
        })
      },
      { maxSteps: 20_000 },
    )
  })
})
