/**
 * Writes a map that others write, too: until it is terminated, or some calls, which it records.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { loadAtomic32, storeAtomic32 } from 'percpu/mem'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'

export interface WritingWorkerData {
  readonly handle: MachineHandle
  readonly seed: number
  /** Byte address of the number of its entries that are stored, an atomic word. */
  readonly stored: number
  /** Its entries have the keys `name:0`, `name:1` … */
  readonly name: string
}
const { handle, seed, stored, name } = workerData as WritingWorkerData
const machine = await joinWhenFree(handle)
const map = machine.map('m', { key: 'string', value: 'string' })
const random = randomFrom(seed)
const { i32 } = machine.memory
parentPort?.postMessage('ready')
for (;;) {
  for (let i = 0; i < 50; i++) {
    const number = loadAtomic32(i32, stored / 4)
    if (number < 2000) {
      map.set(`${name}:${number}`, `value of ${name}:${number}`)
      storeAtomic32(i32, stored / 4, number + 1)
    }
    const shared = `shared ${random(40)}`
    const kind = random(4)
    if (kind === 0) map.delete(shared)
    else if (kind === 1) map.update(shared, (old = '') => (old.length > 30 ? undefined : `${old}+`))
    else map.set(shared, '+'.repeat(random(30)))
    const seen = map.get(`shared ${random(40)}`)
    if (seen !== undefined && !/^\+*$/.test(seen)) throw new Error(`it has ${seen}`)
  }
  await new Promise(setImmediate)
}
