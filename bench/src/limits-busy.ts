/** A thread that hears its doorbell by messages, and then computes, for limits-many.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, milliseconds } = workerData as { handle: MachineHandle; milliseconds: number }
const machine = join(handle, { doorbell: 'port' })
machine.cpus.onRing(0, () => undefined)
parentPort?.postMessage('ready')
const end = performance.now() + milliseconds
while (performance.now() < end);
