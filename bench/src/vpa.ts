/**
 * Benchmarks of what a CPU tells its watchers: labelled work and dispatch entries, wanted and not
 * wanted by anybody.
 */
import { boot, TRACE_DOORBELLS, TRACE_WORK, type Machine } from 'percpu'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'

let turns = 0
function work(): number {
  turns = (turns + 1) | 0
  return turns
}

const quiet = boot({ cpus: 1 })
const traced = boot({ cpus: 1 })
traced.watch.trace(0, TRACE_WORK)
const rung = boot({ cpus: 1 })
const tracedRung = boot({ cpus: 1 })
tracedRung.watch.trace(0, TRACE_DOORBELLS)

/** A function for each row, so that none sees what another one's machine is like. */
function labelled(make: (machine: Machine) => (count: number) => number, machine: Machine): Measure {
  return perOperation(make(machine))
}

const workSuite: Suite = {
  title: 'labelled work',
  unit: 'ns',
  note: 'A function that counts. An entry needs two readings of the clock, at begin and end.',
  rows: [
    {
      name: "machine.run('render', fn), traced",
      role: 'ours',
      goal: { below: 100 },
      measure: labelled(
        (machine) => (count) => {
          let sum = 0
          for (let i = 0; i < count; i++) sum = (sum + machine.run('render', work)) | 0
          return sum
        },
        traced,
      ),
    },
    {
      name: "machine.run('render', fn), not traced",
      role: 'ours',
      compareWith: 'fn()',
      measure: labelled(
        (machine) => (count) => {
          let sum = 0
          for (let i = 0; i < count; i++) sum = (sum + machine.run('render', work)) | 0
          return sum
        },
        quiet,
      ),
    },
    {
      name: 'fn()',
      role: 'floor',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + work()) | 0
        return sum
      }),
    },
    {
      name: 'performance.now(), twice',
      role: 'floor',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += performance.now() - performance.now()
        return sum
      }),
    },
  ],
}

function ringAndAnswer(machine: Machine): Measure {
  machine.cpus.onRing(0, () => void work())
  return perOperation((count) => {
    for (let i = 0; i < count; i++) {
      machine.cpus.ring(0, 0)
      machine.poll()
    }
    return count
  })
}

const doorbellSuite: Suite = {
  title: 'entry of a doorbell',
  unit: 'ns',
  note: 'A CPU rings itself and answers: the difference is the entry.',
  rows: [
    {
      name: 'ring and answer, traced',
      role: 'ours',
      goal: { against: 'ring and answer, not traced', atMostMore: 100 },
      measure: ringAndAnswer(tracedRung),
    },
    { name: 'ring and answer, not traced', role: 'floor', measure: ringAndAnswer(rung) },
  ],
}

const seen = boot({ cpus: 8 })
const inspectSuite: Suite = {
  title: 'looking',
  unit: 'ns',
  note: 'A machine of 8 CPUs, one of them online.',
  rows: [
    {
      name: 'watch.inspect()',
      formerly: 'machine.inspect()',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += seen.watch.inspect().cpus.length
        return sum
      }),
    },
  ],
}

export const suites: readonly Suite[] = [workSuite, doorbellSuite, inspectSuite]
