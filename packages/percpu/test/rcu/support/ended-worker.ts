/** Joins, queues what is freed later, and is terminated before that. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

export interface EndedWorkerData {
  readonly handle: MachineHandle
}
const machine = join((workerData as EndedWorkerData).handle)
const addresses = Array.from({ length: 1000 }, () => machine.heap.alloc(64))
for (const address of addresses) void machine.rcu.free(address)
parentPort?.postMessage('queued')
// It neither answers nor returns to its event loop any more.
for (;;);
