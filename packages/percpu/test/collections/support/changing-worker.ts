/** Sets one entry again and again. */
import { workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { joinWhenFree } from '../../support/machines.js'

const { handle, id, count } = workerData as {
  readonly handle: MachineHandle
  readonly id: number
  readonly count: number
}
const machine = await joinWhenFree(handle)
const map = machine.map('m', { key: 'i32', value: 'i32' })
for (let i = 1; i <= count; i++) {
  map.set(0, i * 10 + id)
  if (i % 100 === 0) await new Promise(setImmediate)
}
await machine.offline()
