/** Uses a collection until it is removed, and tells the code of the error that it got. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { joinWhenFree } from '../../support/machines.js'

export interface EndingWorkerData {
  readonly handle: MachineHandle
  readonly does: 'blocks' | 'computes'
}
const { handle, does } = workerData as EndingWorkerData
// One that blocks looks after nobody meanwhile: it is woken by others alone.
const options: object = does === 'blocks' ? { patience: Infinity } : {}
const machine = await joinWhenFree(handle, options)
const ring = machine.ring('r', { value: 'i32' })
const map = machine.map('m', { key: 'i32', value: 'i32' })
// What it has replaced stays pending while it computes.
map.set(7, 7)
parentPort?.postMessage('ready')
try {
  if (does === 'blocks') ring.receive()
  // It never returns to its event loop.
  else
    for (let i = 0; ; i++) {
      if (map.get(i & 1023) === -1) throw new Error('what was freed was read')
      if (i % 100 === 0) machine.poll()
    }
} catch (error) {
  parentPort?.postMessage((error as { readonly code?: unknown }).code ?? String(error))
}
await machine.offline()
