/** Locks two mutexes one after the other, the second one when told to. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, first, second } = workerData as { handle: MachineHandle; first: string; second: string }
const machine = join(handle)
machine.mutex(first).lock()
parentPort?.on('message', () => {
  machine.run(`locks ${second}`, () => machine.mutex(second).lock())
})
parentPort?.postMessage(machine.cpu)
