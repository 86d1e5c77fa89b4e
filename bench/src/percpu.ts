/**
 * Benchmarks of per-CPU memory, beside what one would write instead, and beside the kernel's
 * figures for the same.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { timeLoop } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'
import { BATCH, type CrowdData, type CrowdTimes } from './percpu-crowd-data.js'
import { afterFree, alone, among } from './percpu-local.js'
import type { Counted } from './percpu-threads.js'

const ONE_WORD = 'Atomics.add on one word'
let threads: Record<'own' | 'counter' | 'shared', Threads> | undefined
const opened = (name: 'own' | 'counter' | 'shared'): Threads => {
  if (!threads) throw new Error('the threads are not running')
  return threads[name]
}
const together: Suite = {
  title: 'counting on two CPUs at once',
  unit: 'ns',
  note: 'Per operation of one thread.',
  take: 'median',
  setUp: async () => {
    const module = new URL('./percpu-threads.js', import.meta.url)
    const open = (name: string): Promise<Threads> => {
      const shared = boot({ cpus: 3 })
      const data: Counted = { handle: shared.handle, word: shared.heap.memblock.alloc({ size: 64 }) / 4 }
      return Threads.open(module, name, 2, data)
    }
    threads = {
      own: await open('addOwn'),
      counter: await open('addCounter'),
      shared: await open('addShared'),
    }
  },
  rows: [
    {
      name: 'percpu.i32().add(1)',
      role: 'ours',
      goal: { against: ONE_WORD, atMost: 1 / 20 },
      measure: (effort) => opened('own').measure(effort),
    },
    {
      name: 'percpu.counter().add(1)',
      role: 'ours',
      compareWith: ONE_WORD,
      measure: (effort) => opened('counter').measure(effort),
    },
    { name: ONE_WORD, role: 'floor', measure: (effort) => opened('shared').measure(effort) },
  ],
  tearDown: async () => {
    await Promise.all(Object.values(threads ?? {}).map((each) => each.close()))
  },
}

/** A thread with a million objects. */
class Crowd {
  readonly #worker: Worker

  private constructor(worker: Worker) {
    this.#worker = worker
  }
  static async open(workerData: CrowdData): Promise<Crowd> {
    const worker = new Worker(new URL('./percpu-crowd.js', import.meta.url), { workerData })
    await once(worker, 'message')
    return new Crowd(worker)
  }
  async measure(): Promise<CrowdTimes> {
    this.#worker.postMessage('measure')
    const [times] = (await once(this.#worker, 'message')) as [CrowdTimes]
    return times
  }
  async close(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** The kernel's figures for a million objects, allocated and then freed: nanoseconds each. */
const kernel: Readonly<Record<number, readonly [number, number]>> = {
  4: [490, 70],
  64: [610, 80],
  1024: [3520, 200],
}

function crowded(bytes: number, [allocate, free]: readonly [number, number]): Suite {
  let crowds: { vm: Crowd; km: Crowd } | undefined
  const measure =
    (backend: 'vm' | 'km', what: keyof CrowdTimes): Measure =>
    async () => {
      if (!crowds) throw new Error('there are no objects')
      return (await crowds[backend].measure())[what]
    }
  return {
    title: `a million objects of ${bytes} bytes alive`,
    unit: 'ns',
    note:
      `Four copies each, on a thread and machine of their own. ${BATCH} of them are freed, and allocated anew. The goals are ` +
      "the kernel's times for allocating and freeing a million of that size (2017, on its machine).",
    setUp: async () => {
      crowds = { vm: await Crowd.open({ bytes, mmu: true }), km: await Crowd.open({ bytes, mmu: false }) }
    },
    rows: [
      {
        name: 'alloc, units mapped',
        role: 'ours',
        goal: { below: allocate },
        measure: measure('vm', 'allocate'),
      },
      { name: 'free, units mapped', role: 'ours', goal: { below: free }, measure: measure('vm', 'free') },
      {
        name: 'alloc, units in one block',
        role: 'ours',
        goal: { below: allocate },
        measure: measure('km', 'allocate'),
      },
      {
        name: 'free, units in one block',
        role: 'ours',
        goal: { below: free },
        measure: measure('km', 'free'),
      },
    ],
    tearDown: async () => {
      await Promise.all([crowds?.vm.close(), crowds?.km.close()])
    },
  }
}

const HOLES = 100_000
const fragmented: Suite = {
  title: 'objects of 4 bytes, each at a multiple of 8',
  unit: 'ns',
  note: `Every other word stays free, and fits nothing: ${HOLES} objects in a new machine. The kernel took 14 µs each, and 3 ms before it had hints.`,
  take: 'median',
  rows: [
    {
      name: 'alloc',
      role: 'ours',
      goal: { below: 14_000 },
      measure: () => {
        const { percpu } = boot({ cpus: 4 })
        const loop = (count: number): number => {
          let last = 0
          for (let i = 0; i < count; i++) last = percpu.alloc(4, { align: 8 })
          return last
        }
        return timeLoop(loop, HOLES) / HOLES
      },
    },
  ],
}

export const suites: readonly Suite[] = [
  alone,
  among,
  afterFree,
  together,
  ...Object.entries(kernel).map(([bytes, goals]) => crowded(Number(bytes), goals)),
  fragmented,
]
