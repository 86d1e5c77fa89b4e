/** Joins, starts a worker that joins and never returns to its event loop, and goes on for ever. */
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, generations } = workerData as { handle: MachineHandle; generations: number }
const machine = join(handle)
if (generations > 1) {
  const child = new Worker(new URL(import.meta.url), { workerData: { handle, generations: generations - 1 } })
  child.on('message', (cpus: number[]) => parentPort?.postMessage([machine.cpu, ...cpus]))
  setInterval(() => undefined, 1000)
} else {
  parentPort?.postMessage([machine.cpu])
  for (;;);
}
