/** How long a map's calls take at most while it grows: suites of map-threads.ts. */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import type { Measure, Row, Suite } from './harness/suite.js'
import type { GrowthData } from './map-growth-worker.js'
import { PauseClock, type Measured } from './map-pauses.js'
import { keyOf } from './map-threads-keys.js'

const FEWEST = 1000
const MOST = 4_000_000
/** Look-ups between two turns of the event loop. */
const STRETCH = 1000

interface Growth {
  readonly reader: Measured
  readonly writer: Measured
}

/** One thread inserts, another one looks up what is there. */
async function grow(): Promise<Growth> {
  const machine = boot({ memory: '512 MiB', cpus: 3 })
  const map = machine.map('grows', { key: 'u32', value: 'u32' })
  for (let i = 0; i < FEWEST; i++) map.set(keyOf(i), i)
  const words = new Int32Array(new SharedArrayBuffer(4))
  words[0] = FEWEST
  const workerData: GrowthData = { handle: machine.handle, words, entries: MOST }
  const worker = new Worker(new URL('./map-growth-worker.js', import.meta.url), { workerData })
  machine.supervise(worker)
  await once(worker, 'message')

  const clock = new PauseClock()
  let state = 1
  let missing = 0
  const look = (): void => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const number = state % Atomics.load(words, 0)
    if (map.get(keyOf(number)) !== number) missing++
  }
  const done = once(worker, 'message') as Promise<[Measured]>
  worker.postMessage('grow')
  while (Atomics.load(words, 0) < MOST) {
    for (let i = 0; i < STRETCH; i++) clock.time(look)
    await setImmediate()
  }
  const [writer] = await done
  if (missing > 0) throw new Error(`${missing} look-ups have not found what was inserted`)
  await worker.terminate()
  return { reader: clock.result(), writer }
}

let growth: Promise<Growth> | undefined
/** Measured once. */
const measured =
  (value: (growth: Growth) => number): Measure =>
  async () =>
    value(await (growth ??= grow()))

function pauses(title: string, call: string, of: (growth: Growth) => Measured): Suite {
  const rows: Row[] = [
    {
      name: `${call}, the longest`,
      role: 'ours',
      goal: { below: 1000 },
      measure: measured((all) => of(all).calls.longest),
    },
    { name: 'private work, the longest', role: 'floor', measure: measured((all) => of(all).work.longest) },
    { name: `${call}, 99.9 % are below`, role: 'ours', measure: measured((all) => of(all).calls.most) },
    { name: 'private work, 99.9 % are below', role: 'floor', measure: measured((all) => of(all).work.most) },
  ]
  return {
    title,
    unit: 'µs',
    take: 'median',
    note:
      `From ${FEWEST.toLocaleString('en')} to ${MOST.toLocaleString('en')} numbers, once: one thread inserts, and one ` +
      'looks up. After each call its thread does private work that takes as long in sum. So that work is stopped as ' +
      'often by other programs, the system and collections of garbage: what the longest call has beyond it is the ' +
      "library's, but for chance, as each is one of millions.",
    rows,
  }
}

export const growSuites: readonly Suite[] = [
  pauses('pauses of a writer while a map grows', 'SharedMap.set', ({ writer }) => writer),
  pauses('pauses of a reader while a map grows', 'SharedMap.get', ({ reader }) => reader),
]
