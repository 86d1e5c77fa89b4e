/**
 * A process of its own for each measurement of memory: starts workers that use the same names, and
 * reports the resident set. Started by map-memory.ts with the kind of map and how many workers.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { NAMES, nameOf, type MapKind, type MapMemorySetup } from './map-memory-worker.js'

function* entries(): Generator<readonly [string, number]> {
  for (let i = 0; i < NAMES; i++) yield [nameOf(i), i]
}

const [kind, count] = process.argv.slice(2) as [MapKind, string]
const machine = boot({ memory: '256 MiB', cpus: 8 })
if (kind === 'shared')
  machine.map('names', { key: 'string', value: 'i32' }).load(entries(), { sizeHint: NAMES })
const workers = Array.from({ length: Number(count) }, () => {
  const workerData: MapMemorySetup = { kind, handle: machine.handle }
  return new Worker(new URL('./map-memory-worker.js', import.meta.url), { workerData })
})
await Promise.all(workers.map((worker) => once(worker, 'message')))
globalThis.gc?.()
process.send?.(process.memoryUsage.rss() / 2 ** 20)
for (const worker of workers) await worker.terminate()
process.disconnect()
