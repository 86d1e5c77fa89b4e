/** A worker that does one thing, says so, and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import type { StartWork } from './start.js'

const { work, handle } = workerData as { readonly work: StartWork; readonly handle: MachineHandle }

if (work === 'lookup') {
  const { join } = await import('percpu')
  const machine = join(handle)
  const limit = machine.map('settings', { key: 'string', value: 'u32' }).get('limit')
  parentPort?.postMessage(limit)
  await machine.offline()
} else {
  if (work !== 'nothing') await import(work)
  parentPort?.postMessage(undefined)
}
