/**
 * A process of its own for each measurement of memory: starts workers that hold a table, and
 * reports the resident set. Started by table.ts with the kind of table, the number of workers, and
 * the file of a table's image.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { copyIn } from 'percpu/mem'
import { createRoot, publishTable, TABLE_NAME } from 'percpu-console'
import type { MemorySetup, TableKind } from './table-memory-worker.js'

const [kind, count, image] = process.argv.slice(2) as [TableKind, string, string]
const machine = boot({ memory: '64 MiB', cpus: 8 })
if (kind === 'shared') {
  const { size } = statSync(image)
  const address = machine.heap.memblock.alloc({ size, zero: false })
  // Bit by bit, as a loader that has ended leaves no second copy either.
  const piece = new Uint8Array(64 * 1024)
  const file = openSync(image, 'r')
  for (let at = 0; at < size;) {
    const length = readSync(file, piece)
    copyIn(machine.memory, address + at, piece.subarray(0, length))
    at += length
  }
  closeSync(file)
  await publishTable(machine, createRoot(machine, TABLE_NAME), address, 1)
}
const workers = Array.from({ length: Number(count) }, () => {
  const workerData: MemorySetup = { kind, image, handle: machine.handle }
  return new Worker(new URL('./table-memory-worker.js', import.meta.url), { workerData })
})
await Promise.all(workers.map((worker) => once(worker, 'message')))
globalThis.gc?.()
process.send?.(process.memoryUsage.rss() / 2 ** 20)
for (const worker of workers) await worker.terminate()
process.disconnect()
