/** A thread that reads rows which another one changes: all of them at both ends of its time. */
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { randomOf } from './model.js'
import { UpdatedRows, type UpdatesSetup } from './updates.js'

const { seed, ...setup } = workerData as UpdatesSetup & { readonly seed: number }
const port = parentPort
if (!port) throw new TypeError('this module runs as a worker thread')
const machine = join(setup.handle)
const rows = new UpdatedRows(machine, setup, randomOf(seed))
const state = { isRunning: true }
port.once('message', () => (state.isRunning = false))
await rows.checkAll()
port.postMessage('ready')
let checks = 0
for (; state.isRunning; checks += 200) {
  for (let i = 0; i < 200; i++) rows.check(rows.randomRow())
  await setImmediate()
}
await rows.checkAll()
await machine.offline()
port.postMessage(checks)
port.close()
