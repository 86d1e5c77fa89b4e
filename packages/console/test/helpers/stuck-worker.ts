/** Joins a machine and never returns from labelled work. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { awaitUntil } from 'percpu/mem'

const machine = join(workerData as MachineHandle)
parentPort?.on('message', () => machine.run('render /about', () => awaitUntil(() => false)))
parentPort?.postMessage(machine.cpu)
