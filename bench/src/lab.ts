/**
 * Benchmarks of the lab: how fast it goes through the executions of a small SRCU, and what one step
 * of them costs.
 */
import { explore, mem, type ExploreOptions, type Scenario } from 'percpu-lab'
import type { Measure, Row, Suite } from './harness/suite.js'

const { addAtomic32, awaitUntil, load32, loadAtomic32, storeAtomic32 } = mem

/**
 * Readers of two ranks, each with a count of its own for coming and one for leaving, and an updater
 * that flips and drains.
 */
function srcu(readers: number): (t: Scenario) => void {
  return (t) => {
    const { memory, base } = t.words(40)
    const view = memory.i32
    const [index, data, locks, unlocks] = [base, base + 1, base + 8, base + 24]
    for (let cpu = 0; cpu < readers; cpu++)
      t.cpu(cpu, () => {
        const rank = (loadAtomic32(view, index) & 1) * 8 + cpu
        addAtomic32(view, locks + rank, 1)
        const seen = load32(view, data)
        addAtomic32(view, unlocks + rank, 1)
        return seen
      })
    t.cpu(readers, () => {
      const sum = (from: number) => {
        let all = 0
        for (let cpu = 0; cpu < readers; cpu++) all += loadAtomic32(view, from + cpu)
        return all
      }
      const drained = (rank: number) => {
        const left = sum(unlocks + rank * 8)
        return sum(locks + rank * 8) === left
      }
      const flips = loadAtomic32(view, index)
      awaitUntil(() => drained((flips + 1) & 1))
      storeAtomic32(view, index, flips + 1)
      awaitUntil(() => drained(flips & 1))
    })
  }
}

interface Case {
  readonly name: string
  readonly readers: number
  readonly options: ExploreOptions
}
const cases: readonly Case[] = [
  { name: '2 readers, complete', readers: 2, options: {} },
  { name: '3 readers, complete', readers: 3, options: {} },
  { name: '4 readers, complete', readers: 4, options: {} },
  { name: '4 readers, at most 2 preemptions', readers: 4, options: { preemptions: 2, executions: 2000 } },
  { name: '4 readers, PCT', readers: 4, options: { mode: 'pct', executions: 1000 } },
  { name: '4 readers, random', readers: 4, options: { mode: 'random', executions: 1000 } },
]

interface Cost {
  readonly milliseconds: number
  readonly executions: number
  readonly steps: number
}

/** Explores often enough for the round time. */
async function cost({ name, readers, options }: Case, roundTime: number): Promise<Cost> {
  let [milliseconds, executions, steps, runs] = [0, 0, 0, 0]
  for (; milliseconds < roundTime; runs++) {
    const report = await explore(name, srcu(readers), options)
    milliseconds += report.milliseconds
    executions += report.executions + report.blocked
    steps += report.operations
  }
  return { milliseconds: milliseconds / runs, executions: executions / runs, steps: steps / runs }
}

const measuring =
  (one: Case, value: (cost: Cost) => number): Measure =>
  async ({ roundTime }) =>
    value(await cost(one, roundTime * 4))

const rates: Suite = {
  title: 'executions of a small SRCU, with an updater',
  unit: 'executions/s',
  take: 'highest',
  note: 'Complete executions, and those broken off in a spin loop. A complete search keeps what two executions have in common.',
  rows: cases.map((one): Row => ({
    name: one.name,
    role: 'ours',
    goal: { above: 35_000 },
    measure: measuring(one, ({ executions, milliseconds }) => (executions / milliseconds) * 1000),
  })),
}

const steps: Suite = {
  title: 'a step of an execution, everything included',
  unit: 'ns',
  note: 'The time of the search by the steps that were taken; those that are replayed are not counted, so switches cost most.',
  rows: cases.map((one): Row => ({
    name: one.name,
    role: 'ours',
    goal: { below: 150 },
    measure: measuring(one, ({ milliseconds, steps }) => (milliseconds / steps) * 1e6),
  })),
}

const four = cases[2] as Case
const whole: Suite = {
  title: 'a complete search',
  unit: 'ms',
  rows: [
    {
      name: four.name,
      role: 'ours',
      goal: { below: 20 },
      measure: measuring(four, ({ milliseconds }) => milliseconds),
    },
  ],
}

export const suites: readonly Suite[] = [rates, steps, whole]
