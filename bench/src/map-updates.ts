/** How soon other threads see what one has set: a suite of map-threads.ts. */
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import type { Measure, Suite } from './harness/suite.js'
import type { SeeingData, SeeingWay } from './map-updates-worker.js'

const WORKERS = 2
const machine = boot({ memory: '16 MiB', cpus: 4 })
const map = machine.map('updates', { key: 'u32', value: 'u32' })
const times = new BigInt64Array(new SharedArrayBuffer(WORKERS * 8))
let workers: readonly Worker[] = []
let value = 1

async function tell(way: SeeingWay): Promise<void> {
  const ready = workers.map((worker) => once(worker, 'message'))
  for (const worker of workers) worker.postMessage(way)
  await Promise.all(ready)
}

/** Microseconds from an update until the last worker has seen it. */
function update(way: SeeingWay): Measure {
  return async () => {
    await tell(way)
    // Workers are idle by then, or look at the map.
    await setTimeout(3)
    times.fill(0n)
    const begun = process.hrtime.bigint()
    if (way === 'postMessage') for (const worker of workers) worker.postMessage(value++)
    else map.set(1, value++)
    do await setTimeout(2)
    while (times.some((time) => time === 0n))
    const last = times.reduce((latest, time) => (time > latest ? time : latest))
    await tell('postMessage')
    return Number(last - begun) / 1e3
  }
}

const POST = 'postMessage to each'
export const updateSuite: Suite = {
  title: `time until ${WORKERS} workers have seen an update`,
  unit: 'µs',
  take: 'median',
  note:
    'From the beginning of the call until the later one has seen it. Those that poll look at the map in each turn of ' +
    'their event loops, and keep the CPUs busy; the others sleep.',
  setUp: async () => {
    workers = Array.from({ length: WORKERS }, (_, thread) => {
      const workerData: SeeingData = { handle: machine.handle, thread, times }
      const worker = new Worker(new URL('./map-updates-worker.js', import.meta.url), { workerData })
      machine.supervise(worker)
      return worker
    })
    await Promise.all(workers.map((worker) => once(worker, 'message')))
  },
  rows: [
    {
      name: 'SharedMap.set, others poll',
      role: 'ours',
      compareWith: POST,
      measure: update('poll'),
    },
    { name: 'SharedMap.set, others watch', role: 'ours', compareWith: POST, measure: update('watch') },
    { name: POST, role: 'peer', measure: update('postMessage') },
  ],
  tearDown: async () => {
    await Promise.all(workers.map((worker) => worker.terminate()))
  },
}
