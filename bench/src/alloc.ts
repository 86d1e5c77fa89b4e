/**
 * Benchmarks of the heap: objects of 64 bytes, beside an allocator in plain JavaScript for one
 * thread.
 */
import { MemPool } from '@thi.ng/malloc'
import { array, boot, struct, u8 } from 'percpu'
import type { HeapThread } from './alloc-threads.js'
import { perOperation, type Loop } from './harness/per-operation.js'
import type { Measure, Row, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'

const BYTES = 64
const Bytes = struct('Bytes', { bytes: array(u8, BYTES) })
const PEER = '@thi.ng/malloc, malloc, free'

const machine = boot({ memory: '256 MiB', cpus: 2 })
const cache = machine.heap.cache('bench', Bytes)
const pool = new MemPool({ size: 64 * 2 ** 20 })

const one: Suite = {
  title: 'an object of 64 bytes, allocated and freed',
  unit: 'ns',
  note: 'Nothing else is allocated: the best case of @thi.ng/malloc, which has one thread, no check of what is freed, and nothing to recover.',
  rows: [
    {
      name: 'cache.alloc, cache.free',
      formerly: 'cache.allocate, cache.free',
      role: 'ours',
      goal: { below: 30 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const address = cache.alloc()
          sum ^= address
          cache.free(address)
        }
        return sum
      }),
    },
    {
      name: 'heap.alloc, heap.free',
      formerly: 'machine.heap.alloc, machine.heap.free',
      role: 'ours',
      goal: { below: 30 },
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const address = machine.heap.alloc(BYTES)
          sum ^= address
          machine.heap.free(address)
        }
        return sum
      }),
    },
    {
      name: PEER,
      role: 'peer',
      compareWith: 'cache.alloc, cache.free',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          const address = pool.malloc(BYTES)
          sum ^= address
          pool.free(address)
        }
        return sum
      }),
    },
  ],
}

const LIVE = 1000
const STEP = 7
/** Replaces one of `LIVE` objects after the other, not in the order of their allocation. */
function replacing(allocate: () => number, free: (address: number) => unknown): Loop {
  const live = Float64Array.from({ length: LIVE }, allocate)
  let at = 0
  return (count) => {
    for (let i = 0; i < count; i++) {
      free(live[at] ?? 0)
      live[at] = allocate()
      at = (at + STEP) % LIVE
    }
    return live[at] ?? 0
  }
}
const replacingSuite: Suite = {
  title: 'one of 1000 objects of 64 bytes freed, and another one allocated',
  unit: 'ns',
  note: 'Every seventh in turn. @thi.ng/malloc searches its list of allocated blocks for the one to free.',
  rows: [
    {
      name: 'cache.free, cache.alloc',
      formerly: 'cache.free, cache.allocate',
      role: 'ours',
      goal: { against: PEER, atMost: 0.5 },
      measure: perOperation(
        replacing(
          () => cache.alloc(),
          (address) => cache.free(address),
        ),
      ),
    },
    {
      name: 'heap.free, heap.alloc',
      formerly: 'machine.heap.free, machine.heap.alloc',
      role: 'ours',
      compareWith: PEER,
      measure: perOperation(
        replacing(
          () => machine.heap.alloc(BYTES),
          (address) => machine.heap.free(address),
        ),
      ),
    },
    {
      name: PEER,
      role: 'peer',
      measure: perOperation(
        replacing(
          () => pool.malloc(BYTES),
          (address) => pool.free(address),
        ),
      ),
    },
  ],
}

/** Operations per microsecond of all threads together. */
function rateOf(threads: () => Threads, count: number): Measure {
  return async (effort) => (count * 1000) / (await threads().measure(effort))
}
let single: Threads | undefined
let both: Threads | undefined
const opened = (threads: Threads | undefined): Threads => {
  if (!threads) throw new Error('the threads are not running')
  return threads
}
const ONE = 'one thread'
const scaling: Suite = {
  title: 'objects of 64 bytes allocated and freed, from two threads at once',
  unit: 'per µs',
  take: 'highest',
  note: 'All threads together, each with 16 objects of the same cache at a time.',
  setUp: async () => {
    const shared = boot({ memory: '64 MiB', cpus: 4 })
    const data: HeapThread = { handle: shared.handle, bytes: BYTES }
    const module = new URL('./alloc-threads.js', import.meta.url)
    single = await Threads.open(module, 'allocateAndFree', 1, data)
    both = await Threads.open(module, 'allocateAndFree', 2, data)
  },
  rows: [
    {
      name: 'two threads',
      role: 'ours',
      goal: { against: ONE, atLeast: 1.8 },
      measure: rateOf(() => opened(both), 2),
    },
    { name: ONE, role: 'ours', measure: rateOf(() => opened(single), 1) },
  ],
  tearDown: async () => {
    await Promise.all([single?.close(), both?.close()])
  },
}

const MILLION = 1_000_000
/**
 * Bytes that are not the objects', in percent of theirs: free objects in slabs, tags, headers, and
 * the descriptors of the pages.
 */
function ourOverhead(): number {
  const fresh = boot({ memory: '128 MiB', cpus: 1 })
  const objects = fresh.heap.cache('objects', Bytes)
  const used = (): number => fresh.heap.report().zones.reduce((sum, { total, free }) => sum + total - free, 0)
  const before = used()
  for (let i = 0; i < MILLION; i++) objects.alloc()
  const pages = used() - before
  const descriptors = (pages / 4096) * 16
  return ((pages + descriptors) / (MILLION * BYTES) - 1) * 100
}
function peerOverhead(): number {
  const fresh = new MemPool({ size: 128 * 2 ** 20 })
  const before = fresh.stats().top
  for (let i = 0; i < MILLION; i++) fresh.malloc(BYTES)
  return ((fresh.stats().top - before) / (MILLION * BYTES) - 1) * 100
}
function once(measure: () => number): Measure {
  let value: number | undefined
  return () => (value ??= measure())
}
const overheadRow = (name: string, role: Row['role'], measure: () => number): Row => ({
  name,
  role,
  measure: once(measure),
})
const overhead: Suite = {
  title: 'overhead of a million objects of 64 bytes',
  unit: '%',
  take: 'median',
  rows: [
    {
      ...overheadRow('cache.alloc', 'ours', ourOverhead),
      formerly: 'cache.allocate',
      goal: { below: 12 },
    },
    overheadRow('@thi.ng/malloc', 'peer', peerOverhead),
  ],
}

export const suites: readonly Suite[] = [one, replacingSuite, scaling, overhead]
