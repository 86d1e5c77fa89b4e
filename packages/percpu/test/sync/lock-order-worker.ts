/** Locks two mutexes one after the other, the second one when told to. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, first, second } = workerData as { handle: MachineHandle; first: string; second: string }
const machine = join(handle)
machine.locks.mutex(first).lock()
parentPort?.on('message', () => {
  machine.run(`locks ${second}`, () => machine.locks.mutex(second).lock())
})
parentPort?.postMessage(machine.cpu)
