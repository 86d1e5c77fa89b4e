/**
 * A process of its own for each measurement of memory: starts workers that hold a table, and
 * reports the resident set. Started by table.ts with the kind of table, the number of workers, and
 * the file of a table's image.
 */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { loadTable, packagedFiles, TABLE_NAME } from 'percpu-console'
import type { MemorySetup, TableKind } from './table-memory-worker.js'

const [kind, count, image] = process.argv.slice(2) as [TableKind, string, string]
const machine = boot({ memory: '64 MiB', cpus: 8 })
if (kind === 'shared') await loadTable(machine, TABLE_NAME, packagedFiles())
const workers = Array.from({ length: Number(count) }, () => {
  const workerData: MemorySetup = { kind, image, handle: machine.handle }
  return new Worker(new URL('./table-memory-worker.js', import.meta.url), { workerData })
})
await Promise.all(workers.map((worker) => once(worker, 'message')))
globalThis.gc?.()
process.send?.(process.memoryUsage.rss() / 2 ** 20)
for (const worker of workers) await worker.terminate()
process.disconnect()
