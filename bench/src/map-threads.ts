/** Benchmarks of maps that several threads use at once. */
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import { Threads } from './harness/threads.js'
import { growSuites } from './map-growth.js'
import { memorySuite } from './map-memory.js'
import { CHANGED, DRAWN, drawKeys, ENTRIES, keyOf, RUN, WRITTEN } from './map-threads-keys.js'
import type { WriterData } from './map-threads-writer.js'
import { updateSuite } from './map-updates.js'

const machine = boot({ memory: '512 MiB', cpus: 6 })
const map = machine.map('keys', { key: 'u32', value: 'u32' })
const words = new Int32Array(new SharedArrayBuffer(8))

function fill(): void {
  if (map.size > 0) return
  map.load(
    Array.from({ length: ENTRIES }, (_, i) => [keyOf(i), i]),
    { sizeHint: ENTRIES },
  )
}

// -------------------------------------------------------------------------------------------------
// -------------------- One reads while another one writes

let writer: Worker | undefined
/** Sets of the writer in a second, of each round that it wrote in. */
const rates: number[] = []

/** Millions of look-ups a second, as `nanoseconds` measures each. */
const perSecond =
  (nanoseconds: Measure): Measure =>
  async (effort) =>
    1e3 / (await nanoseconds(effort))

function reading(keys: Uint32Array): Measure {
  return perSecond(
    perOperation((count) => {
      let sum = 0
      for (let i = 0; i < count; i++) sum = (sum + (map.get(keys[i & (DRAWN - 1)] as number) ?? 0)) | 0
      return sum
    }),
  )
}

/** Measures while the writer writes. */
function whileWriting(measure: Measure): Measure {
  return async (effort) => {
    Atomics.store(words, RUN, 1)
    writer?.postMessage('write')
    await written(5000)
    const before = Atomics.load(words, WRITTEN)
    const begun = performance.now()
    const value = await measure(effort)
    rates.push((Atomics.load(words, WRITTEN) - before) / (performance.now() - begun) / 1e3)
    Atomics.store(words, RUN, 0)
    // What was replaced is freed, as each thread has had its turn.
    await map.barrier()
    return value
  }
}
/** Until the writer has written so often. */
async function written(sets: number): Promise<void> {
  const end = Atomics.load(words, WRITTEN) + sets
  while (Atomics.load(words, WRITTEN) - end < 0) await setImmediate()
}

const all = drawKeys(1)
const untouched = drawKeys(2, 1)
const ALONE = 'SharedMap.get, random keys, undisturbed'
const ALONE_UNTOUCHED = 'SharedMap.get, keys that nobody writes, undisturbed'
const disturbed: Suite = {
  title: 'read while another thread writes',
  unit: 'M/s',
  take: 'median',
  note:
    `A map of ${ENTRIES.toLocaleString('en')} numbers. Another thread sets every ${CHANGED}nd of them, in ` +
    'random order, as fast as it can. The last row tells how fast: it is not judged.',
  setUp: () => {
    fill()
    const workerData: WriterData = { handle: machine.handle, words }
    writer = new Worker(new URL('./map-threads-writer.js', import.meta.url), { workerData })
    machine.supervise(writer)
  },
  rows: [
    { name: ALONE, role: 'ours', measure: reading(all) },
    {
      name: 'SharedMap.get, random keys, while another writes',
      role: 'ours',
      goal: { against: ALONE, atLeast: 0.9 },
      measure: whileWriting(reading(all)),
    },
    { name: ALONE_UNTOUCHED, role: 'ours', measure: reading(untouched) },
    {
      name: 'SharedMap.get, keys that nobody writes, while another writes others',
      role: 'ours',
      goal: { against: ALONE_UNTOUCHED, atLeast: 0.9 },
      measure: whileWriting(reading(untouched)),
    },
    { name: 'SharedMap.set of the writer meanwhile', role: 'ours', measure: () => rates.at(-1) ?? 0 },
  ],
  tearDown: async () => {
    await writer?.terminate()
  },
}

// -------------------------------------------------------------------------------------------------
// -------------------- Two read together

const opened: Threads[] = []
/** Millions of look-ups a second of `count` threads together. */
function together(exportName: 'getShared' | 'getPrivate', count: number): Measure {
  let threads: Promise<Threads> | undefined
  return async (effort) => {
    threads ??= Threads.open(
      new URL('./map-threads-keys.js', import.meta.url),
      exportName,
      count,
      machine.handle,
    )
    const started = await threads
    if (!opened.includes(started)) opened.push(started)
    return (count * 1e3) / (await started.measure(effort))
  }
}

const ONE = 'SharedMap.get, one thread'
const ONE_PRIVATE = 'Map.get, one thread'
const two: Suite = {
  title: 'read with two threads',
  unit: 'M/s',
  take: 'median',
  note:
    `${ENTRIES.toLocaleString('en')} numbers, random keys. The sum of both threads, which are workers; the main ` +
    'thread sleeps. What a private Map in each of them reaches tells how much of a second CPU the machine gives.',
  setUp: fill,
  rows: [
    { name: ONE, role: 'ours', measure: together('getShared', 1) },
    {
      name: 'SharedMap.get, two threads',
      role: 'ours',
      goal: { against: ONE, atLeast: 2 },
      measure: together('getShared', 2),
    },
    { name: ONE_PRIVATE, role: 'peer', measure: together('getPrivate', 1) },
    {
      name: 'Map.get, two threads, a Map each',
      role: 'peer',
      compareWith: ONE_PRIVATE,
      measure: together('getPrivate', 2),
    },
  ],
  tearDown: async () => {
    await Promise.all(opened.map((threads) => threads.close()))
  },
}

export const suites: readonly Suite[] = [disturbed, two, ...growSuites, updateSuite, memorySuite]
