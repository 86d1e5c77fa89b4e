/**
 * Benchmarks of the machine: polling, doorbells, cross calls, grace periods, the boot allocator.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { atomic, boot, i32, struct, type Machine } from 'percpu'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'

/** Microseconds per call of `operation`, one after another. */
function sequential(operation: () => Promise<unknown>): Measure {
  return async ({ roundTime }) => {
    const count = Math.max(50, 10 * roundTime)
    const start = process.hrtime.bigint()
    for (let i = 0; i < count; i++) await operation()
    return Number(process.hrtime.bigint() - start) / 1000 / count
  }
}

const polling = boot({ cpus: 1 })
const pollSuite: Suite = {
  title: 'poll, with nobody ringing',
  unit: 'ns',
  note: 'A turn of a loop that does nothing else; the goal is for what poll adds.',
  rows: [
    {
      name: 'machine.poll()',
      role: 'ours',
      goal: { against: 'an empty loop', atMostMore: 1 },
      measure: perOperation((count) => {
        for (let i = 0; i < count; i++) polling.poll()
        return count
      }),
    },
    {
      name: 'an empty loop',
      role: 'floor',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum = (sum + i) | 0
        return sum
      }),
    },
  ],
}

/** A machine with `others` workers that answer doorbells and messages. */
class Group {
  readonly machine: Machine
  readonly workers: readonly Worker[]
  #rung: () => void = () => undefined

  private constructor(machine: Machine, workers: readonly Worker[]) {
    this.machine = machine
    this.workers = workers
    machine.cpus.onRing(0, () => {
      this.#rung()
    })
  }

  static async open(others: number): Promise<Group> {
    const machine = boot({ cpus: others + 1 })
    const workers = Array.from({ length: others }, () => {
      const worker = new Worker(new URL('./machine-worker.js', import.meta.url), {
        workerData: machine.handle,
      })
      machine.supervise(worker)
      return worker
    })
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    return new Group(machine, workers)
  }

  /** Rings CPU 1, whose handler rings back. */
  ringAndBack(): Promise<void> {
    return new Promise((resolve) => {
      this.#rung = resolve
      this.machine.cpus.ring(1, 0)
    })
  }

  messageAndBack(): Promise<void> {
    const [worker] = this.workers
    return new Promise((resolve) => {
      worker?.once('message', resolve)
      worker?.postMessage(0)
    })
  }

  async close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}

function groupSuite(
  suite: Omit<Suite, 'rows'>,
  others: number,
  rows: (group: () => Group) => Suite['rows'],
): Suite {
  let group: Group | undefined
  return {
    ...suite,
    setUp: async () => {
      group = await Group.open(others)
    },
    rows: rows(() => {
      if (!group) throw new Error('the workers are not running')
      return group
    }),
    tearDown: async () => {
      await group?.close()
    },
  }
}

const roundTrips = groupSuite(
  {
    title: 'round trip to another thread',
    unit: 'µs',
    take: 'median',
    note: 'To a thread that is idle in its event loop, and back to an event loop that waits for it.',
  },
  1,
  (group) => [
    {
      name: 'ring, and ring back',
      role: 'ours',
      goal: { against: 'postMessage, and postMessage back', atMost: 1 },
      measure: sequential(() => group().ringAndBack()),
    },
    {
      name: 'cpus.call, waiting',
      formerly: 'callFunctionMany, waiting',
      role: 'ours',
      measure: sequential(() => group().machine.cpus.call(1, 'nothing')),
    },
    { name: 'synchronize', role: 'ours', measure: sequential(() => group().machine.rcu.synchronize()) },
    {
      name: 'postMessage, and postMessage back',
      role: 'peer',
      measure: sequential(() => group().messageAndBack()),
    },
  ],
)

const Cell = struct('Cell', { value: atomic(i32) })
const local = boot({ cpus: 8 })
local.objects.create('cell', Cell)
const slowPaths: Suite = {
  title: 'boot memory and names',
  unit: 'ns',
  note: 'A machine of 8 CPUs with a handful of regions and one named object.',
  rows: [
    {
      name: 'memblock.alloc and free, 4 KiB',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const address = local.heap.memblock.alloc({ size: 4096, zero: false })
          local.heap.memblock.free(address)
          sum += address
        }
        return sum
      }),
    },
    {
      name: 'objects.open',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) sum += local.objects.open('cell', Cell).address
        return sum
      }),
    },
  ],
}

export const suites: readonly Suite[] = [pollSuite, roundTrips, slowPaths]
