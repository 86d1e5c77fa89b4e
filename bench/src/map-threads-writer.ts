/** Writes to the map of map-threads.ts as fast as it can, while it is told to. */
import { setImmediate } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { CHANGED, keyOf, WRITTEN, ENTRIES, RUN } from './map-threads-keys.js'

export interface WriterData {
  readonly handle: MachineHandle
  readonly words: Int32Array<SharedArrayBuffer>
}

/** Sets between two turns of the event loop. What they replace is freed after such turns only. */
const STRETCH = 500

const { handle, words } = workerData as WriterData
const map = join(handle).map('keys', { key: 'u32', value: 'u32' })
let next = 0

function writeSome(): void {
  for (let i = 0; i < STRETCH; i++) {
    next = (next + CHANGED * 7919) % ENTRIES
    map.set(keyOf(next), next)
    Atomics.add(words, WRITTEN, 1)
  }
}

/** Until the word says otherwise. */
async function write(): Promise<void> {
  while (Atomics.load(words, RUN) === 1) {
    writeSome()
    await setImmediate()
  }
}

parentPort?.on('message', () => {
  void write()
})
