/** Receives messages in each of the ways that ring.ts compares, and says when it has so many. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type MachineHandle } from 'percpu'
import { awaitUntil } from 'percpu/mem'
import { RingBuffer } from 'ringbuf.js'

export interface RingWorkerData {
  readonly handle: MachineHandle
  /** Of a ring of ringbuf.js. */
  readonly storage: SharedArrayBuffer
}
export type RingWay =
  'blocking' | 'async' | 'ringbuf.js' | 'postMessage' | 'batches' | 'postMessage of batches'
/** How many messages come, and how they are received. */
export interface RingOrder {
  readonly way: RingWay
  readonly count: number
}

const { handle, storage } = workerData as RingWorkerData
const ring = join(handle).ring('bytes')
const theirs = new RingBuffer(storage, Uint8Array)
let left = 0

function receiveBlocking(count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += ring.receive()?.[0] ?? 0
  return sum
}
function receiveBatches(count: number): number {
  let sum = 0
  for (let left = count; left > 0;) {
    const messages = ring.receiveMany(left)
    if (messages.length === 0) messages.push(ring.receive() ?? new Uint8Array())
    for (const message of messages) sum += message[0] ?? 0
    left -= messages.length
  }
  return sum
}
async function receiveAsync(count: number): Promise<number> {
  let sum = 0
  for (let i = 0; i < count; i++) sum += (ring.tryReceive() ?? (await ring.receiveAsync()))?.[0] ?? 0
  return sum
}
function receiveTheirs(count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) {
    // A message is to be an array of its own, as those of the others are.
    const message = new Uint8Array(64)
    awaitUntil(() => theirs.availableRead() >= 64)
    theirs.pop(message)
    sum += message[0] ?? 0
  }
  return sum
}

async function receive({ way, count }: RingOrder): Promise<void> {
  left = count
  if (way.startsWith('postMessage')) return
  if (way === 'blocking') receiveBlocking(count)
  else if (way === 'batches') receiveBatches(count)
  else if (way === 'async') await receiveAsync(count)
  else receiveTheirs(count)
  parentPort?.postMessage('done')
}

parentPort?.on('message', (message: Uint8Array | readonly Uint8Array[] | RingOrder) => {
  if ('way' in message) void receive(message)
  else if ((left -= message instanceof Uint8Array ? 1 : message.length) === 0) parentPort?.postMessage('done')
})
parentPort?.postMessage('ready')
