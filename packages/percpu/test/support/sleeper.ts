/** Joins, tells its CPU, and blocks in a bare wait, for ever or until it is woken. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

interface SleeperData {
  readonly handle: MachineHandle
  readonly watchWaits: boolean
  readonly word: Int32Array
}
const { handle, watchWaits, word } = workerData as SleeperData
const machine = join(handle, { watchWaits })
parentPort?.postMessage(machine.cpu)
const result = Reflect.apply(Reflect.get(globalThis.Atomics, 'wait') as () => unknown, undefined, [
  word,
  0,
  0,
] as never)
parentPort?.postMessage(result)
await machine.offline()
