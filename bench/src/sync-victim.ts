/** Stops in the middle of a section, for sync.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { awaitUntil } from 'percpu/mem'

const machine = join(workerData as MachineHandle)
const word = machine.heap.memblock.alloc({ size: 1024 }) / 4
machine.locks.mutex('held').run((section) => {
  for (let i = 0; i < 256; i++) section.write32(word + i, i)
  parentPort?.postMessage('inside')
  awaitUntil(() => false)
})
