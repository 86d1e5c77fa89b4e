/** Changes its part of a map and of a map of ranges, and sends messages, until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'
import { KEYS, KeptLog, MESSAGE_BITS, SPAN } from './kept-log.js'

export interface KeptWorkerData {
  readonly handle: MachineHandle
  readonly id: number
  readonly workers: number
  readonly seed: number
  readonly log: SharedArrayBuffer
}

const { handle, id, workers, seed, log: buffer } = workerData as KeptWorkerData
const log = new KeptLog(workers, buffer)
const random = randomFrom(seed)
const machine = await joinWhenFree(handle)
const map = machine.map('map', { key: 'u32', value: 'u32' })
const ranges = machine.rangeMap('ranges', { key: 'u32', value: 'u32' })
const ring = machine.ring('ring', { value: 'u32', bytes: 4096 })
parentPort?.postMessage(machine.cpu)

/** What its predecessor was at when it was terminated is settled before anything is begun anew. */
function settle(kind: number, key: number, value: number): void {
  const allowed = log.allowed(id, kind, key)
  if (!allowed.includes(value)) throw new Error(`${kind}: ${key} has ${value}, not ${allowed.join(' or ')}`)
  log.begin(id, kind, key, value)
  log.acknowledge(id, kind, key, value)
}
for (let key = 0; key < KEYS; key++) {
  const at = id * KEYS + key
  settle(0, key, map.get(at) ?? 0)
  settle(1, key, ranges.lookup(at * SPAN) ?? 0)
}

/** Other workers change theirs: each of these is looked up, but what it has is theirs to know. */
function lookAround(): void {
  const key = random(workers * KEYS)
  map.get(key)
  ranges.lookup(key * SPAN + random(SPAN))
}

/** What another one holds must not keep this one for ever. */
while (!log.isOver) {
  for (let i = 0; i < 20; i++) {
    const key = random(KEYS)
    const value = random(10) === 0 ? 0 : 1 + random(2 ** 30)
    const at = id * KEYS + key
    log.begin(id, 0, key, value)
    if (value === 0) map.delete(at)
    else map.set(at, value)
    log.acknowledge(id, 0, key, value)
    lookAround()
  }
  const key = random(KEYS)
  const value = random(10) === 0 ? 0 : 1 + random(2 ** 30)
  const from = (id * KEYS + key) * SPAN
  log.begin(id, 1, key, value)
  if (value === 0) ranges.delete(from, from + SPAN - 1)
  else ranges.set(from, from + SPAN - 1, value)
  log.acknowledge(id, 1, key, value)
  const number = log.beginSending(id)
  if (ring.trySend(id * 2 ** MESSAGE_BITS + number)) log.acknowledgeSent(id, number)
  await new Promise(setImmediate)
}
await machine.offline()
