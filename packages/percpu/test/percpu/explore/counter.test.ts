/**
 * The per-CPU counter: CPUs that add and fold, one of which is killed anywhere and reaped, and one
 * that takes the sum.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mem, percpu, type CpuContext, type Scenario } from 'percpu-lab'
import type { NamedTest, TestExploreOptions } from 'percpu-lab/testing'
import { check as explored, prepare, type World } from '../../support/world.js'

const { PercpuCounterLayout } = await import('../../../dist/percpu/layouts.js')

/** What a CPU has counted for sure, and whether it, or its reaper, has ended. */
const Progress = percpu.struct('Progress', {
  counted: percpu.atomic(percpu.i32),
  ended: percpu.atomic(percpu.i32),
})
const EXECUTIONS = Number(process.env['PERCPU_EXECUTIONS'] ?? 150)
const SEED = Number(process.env['PERCPU_SEED'] ?? 1)
/** Each second addition is folded. */
const BATCH = 2
/** What it is at first where both halves of the sum are to change. */
const BEFORE = 2 ** 32 - 1

function check(
  world: World,
  test: NamedTest,
  describe: (t: Scenario) => void,
  options?: TestExploreOptions,
): Promise<void> {
  const { address } = [...world.names.each('counter')][0] ?? assert.fail()
  const scenario = (t: Scenario) => {
    t.name(world.memory, address, PercpuCounterLayout, 'count')
    describe(t)
  }
  return explored(world, test, scenario, options)
}

/** A machine with a counter that has counted `before`. */
async function withCounter(cpus: number, before = 0): Promise<World> {
  return prepare({ cpus }, (machine) => machine.percpu.counter('count', { batch: BATCH }).set(before))
}
function open(world: World, cpu: CpuContext) {
  const machine = world.joined(cpu)
  return cpu.prepare(() => machine.percpu.counter('count', { batch: BATCH }))
}
function progressOf(t: Scenario, cpus: number) {
  return Array.from({ length: cpus }, (_, cpu) => t.memory(Progress, `progress[${cpu}]`))
}

describe('a counter of which a CPU is killed', () => {
  for (const [name, amounts] of Object.entries({
    'adds and folds': [1, 1],
    'folds and adds': [2, 1],
    'goes up and down': [1, -3],
  })) {
    it(`while it ${name} has counted each thing once`, async (test) => {
      const world = await withCounter(2, BEFORE)
      await check(world, test, (t) => {
        const [progress] = progressOf(t, 1)
        const sumAfter = (length: number) =>
          amounts.slice(0, length).reduce((sum, amount) => sum + amount, BEFORE)
        t.cpu(0, (cpu) => {
          const counter = open(world, cpu)
          for (const [i, amount] of amounts.entries()) {
            counter.add(amount)
            progress?.counted.store(i + 1)
          }
          assert.equal(counter.sum(), sumAfter(amounts.length))
        })
        t.kill(0, {
          reaper: (cpu) => {
            const next = cpu.prepare(() => world.join(3).percpu.counter('count', { batch: BATCH }))
            world.reap(0)
            const done = progress?.counted.load() ?? 0
            const sum = next.sum()
            assert.ok([sumAfter(done), sumAfter(done + 1)].includes(sum), `${sum} after ${done}`)
            // Its reaper has folded what it had: nothing is left for the next thread of that
            // number.
            assert.equal(next.estimate, sum)
          },
        })
      })
    })
  }

  it('while another one adds has counted what both did', async (test) => {
    const world = await withCounter(3)
    await check(
      world,
      test,
      (t) => {
        const progress = progressOf(t, 2)
        for (const [number, { counted, ended }] of progress.entries()) {
          t.cpu(number, (cpu) => {
            const counter = open(world, cpu)
            for (let i = 1; i <= 2; i++) {
              counter.add(1)
              counted.store(i)
            }
            ended.store(1)
          })
        }
        t.cpu(2, (cpu) => {
          const counter = open(world, cpu)
          for (const { ended } of progress) mem.awaitUntil(() => ended.load() === 1)
          return [counter.sum(), counter.estimate]
        })
        t.kill(1, {
          reaper: () => {
            world.reap(1)
            progress[1]?.ended.store(1)
          },
        })
        t.finally(([, , seen]) => {
          const [sum, estimate] = seen as [number, number]
          const dead = progress[1]?.counted.load() ?? 0
          assert.ok(sum === 2 + dead || sum === 3 + dead, `${sum} of 2 and ${dead}`)
          assert.ok(Math.abs(estimate - sum) < BATCH * 3)
        })
      },
      { mode: 'pct', executions: EXECUTIONS, seed: SEED },
    )
  })
})
