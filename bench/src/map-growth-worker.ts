/** Makes the map of map-growth.ts grow, and tells how long each call has taken. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { PauseClock } from './map-pauses.js'
import { keyOf } from './map-threads-keys.js'

export interface GrowthData {
  readonly handle: MachineHandle
  /** Word 0: how many entries there are. */
  readonly words: Int32Array<SharedArrayBuffer>
  readonly entries: number
}

const { handle, words, entries } = workerData as GrowthData
const map = join(handle).map('grows', { key: 'u32', value: 'u32' })
const clock = new PauseClock()
let number = Atomics.load(words, 0)
const insert = (): void => {
  map.set(keyOf(number), number)
}

parentPort?.once('message', () => {
  for (; number < entries; number++) {
    clock.time(insert)
    Atomics.store(words, 0, number + 1)
  }
  parentPort?.postMessage(clock.result())
})
parentPort?.postMessage('ready')
