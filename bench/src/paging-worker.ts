/** Walks an address space, or writes to a sparse array, in stretches of a millisecond. */
import { setImmediate as turn } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

export interface PagingWorkerData {
  readonly handle: MachineHandle
  /** An address space to walk, or `column`, the sparse array. */
  readonly space: string
}
export interface PagingOrder {
  readonly end: true
}

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const { handle, space: name } = workerData as PagingWorkerData
const machine = join(handle)
const state = { isEnded: false }
parentPort.on('message', () => (state.isEnded = true))

const COLUMN = 2 ** 22
let at = 0
function makeWork(): () => void {
  if (name === 'column') {
    const column = machine.sparseArray('column', { value: 'f64' })
    return () => {
      at = (at + 4099) % COLUMN
      column.set(at, at)
    }
  }
  const space = machine.space(name)
  const base = 2 ** 40 + 2 ** 30 * machine.cpu
  space.map(base, 2 ** 20)
  return () => {
    at = (at + 4096) % 2 ** 20
    space.read(base + at)
  }
}
const work = makeWork()
parentPort.postMessage('ready')
while (!state.isEnded) {
  const end = performance.now() + 1
  while (performance.now() < end) for (let i = 0; i < 100; i++) work()
  await turn()
}
await machine.offline()
parentPort.close()
