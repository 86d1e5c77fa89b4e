/** A thread that looks up all the time, or changes one range. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { AddressTable, openTable, TABLE_NAME } from 'percpu-console'
import { checkPlaces, randomOf } from './model.js'

export interface ModelSetup {
  readonly handle: MachineHandle
  readonly seed: number
  /** Gives this range the pair that another address has, and ends. */
  readonly change?: { readonly from: number; readonly to: number; readonly as: number }
}
export interface ModelEnd {
  readonly checks: number
  readonly versions: number
}

const { handle, seed, change } = workerData as ModelSetup
const port = parentPort
if (!port) throw new TypeError('this module runs as a worker thread')
const machine = join(handle)

async function leave(end: ModelEnd): Promise<void> {
  await machine.offline()
  port?.postMessage(end)
  port?.close()
}

if (change) {
  const { ipv4 } = openTable(machine, TABLE_NAME)
  ipv4.set(change.from, change.to, ipv4.lookup(change.as) ?? 0)
  await leave({ checks: 0, versions: 0 })
} else {
  const table = new AddressTable(machine, TABLE_NAME)
  const random = randomOf(seed)
  const versions = new Set<number>()
  const state = { isRunning: true }
  port.once('message', () => (state.isRunning = false))
  let checks = 0
  port.postMessage('ready')
  while (state.isRunning) {
    await table.hold(() => {
      versions.add(table.versions.ipv4)
      checkPlaces(table, random)
      // Whatever comes now, this goes on with the versions that it has.
      machine.poll()
      checkPlaces(table, random)
    })
    checks++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await leave({ checks, versions: versions.size })
}
