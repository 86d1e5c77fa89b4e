/** A worker of map-updates.ts: writes down when it has seen each update. */
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'

export interface SeeingData {
  readonly handle: MachineHandle
  readonly thread: number
  /** When each thread has seen the last update, on the clock of the process. */
  readonly times: BigInt64Array<SharedArrayBuffer>
}
/** How updates come from now on. */
export type SeeingWay = 'poll' | 'watch' | 'postMessage'

const { handle, thread, times } = workerData as SeeingData
const map = join(handle).map('updates', { key: 'u32', value: 'u32' })
const seen = (): void => {
  Atomics.store(times, thread, process.hrtime.bigint())
}

let way: SeeingWay = 'postMessage'
let end: (() => void) | undefined
async function poll(): Promise<void> {
  let last = map.get(1)
  while (way === 'poll') {
    const value = map.get(1)
    if (value !== last) seen()
    last = value
    await setImmediate()
  }
}

parentPort?.on('message', (message: SeeingWay | number) => {
  if (typeof message === 'number') {
    seen()
    return
  }
  way = message
  end?.()
  end = way === 'watch' ? map.watch(1, seen) : undefined
  if (way === 'poll') void poll()
  parentPort?.postMessage('ready')
})
parentPort?.postMessage('ready')
