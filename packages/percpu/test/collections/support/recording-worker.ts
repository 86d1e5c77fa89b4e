/** Makes calls on a map that others use, too, and records them. */
import { parentPort, workerData } from 'node:worker_threads'
import { CallRecorder } from 'percpu-lab'
import type { MachineHandle } from 'percpu'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'

const { handle, seed, id } = workerData as {
  readonly handle: MachineHandle
  readonly seed: number
  readonly id: number
}
const machine = await joinWhenFree(handle)
const map = machine.map('m', { key: 'i32', value: 'i32' })
const random = randomFrom(seed)
const recorder = new CallRecorder(id)
for (let i = 0; i < 1500; i++) {
  const key = random(6)
  const value = random(3)
  const kind = random(9)
  if (kind < 3) recorder.call('get', [key], () => map.get(key))
  else if (kind < 5) recorder.call('set', [key, value], () => void map.set(key, value))
  else if (kind === 5) recorder.call('delete', [key], () => map.delete(key))
  else if (kind === 6) recorder.call('take', [key], () => map.take(key))
  else if (kind === 7) {
    const next = random(3)
    recorder.call('compareAndSet', [key, value, next], () => map.compareAndSet(key, value, next))
  } else recorder.call('getOrInsert', [key, value], () => map.getOrInsert(key, value))
  // Others of these let it grow meanwhile.
  map.set(1000 + id * 10_000 + i, i)
  if (i % 100 === 0) await new Promise(setImmediate)
}
parentPort?.postMessage(recorder.history())
await machine.offline()
