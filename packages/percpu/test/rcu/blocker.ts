/** Joins, and blocks for grace periods, one after another. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

const { handle, rounds } = workerData as { handle: MachineHandle; rounds: number }
const machine = join(handle)
parentPort?.postMessage('ready')
for (let round = 0; round < rounds; round++) machine.rcu.synchronizeBlocking({ timeout: 10_000 })
await machine.offline()
