/** Answers doorbells, calls and messages, for machine.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const machine = join(workerData as MachineHandle)
machine.cpus.onRing(0, () => {
  machine.cpus.ring(0, 0)
})
machine.cpus.registerFunction('nothing', () => undefined)
parentPort?.on('message', (message) => {
  parentPort?.postMessage(message)
})
parentPort?.postMessage('ready')
