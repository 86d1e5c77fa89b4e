/** Benchmarks of rings, beside ringbuf.js, of one sender and one receiver, and `postMessage`. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { boot } from 'percpu'
import { awaitUntil } from 'percpu/mem'
import { RingBuffer } from 'ringbuf.js'
import { perOperation } from './harness/per-operation.js'
import type { Measure, Suite } from './harness/suite.js'
import type { RingOrder, RingWay, RingWorkerData } from './ring-worker.js'

const BYTES = 64 * 1024
/** Of one round between threads. */
const MESSAGES = 20_000
/** Of one batch. */
const BATCH = 100

const machine = boot({ memory: '16 MiB', cpus: 3 })
const ring = machine.ring('bytes', { bytes: BYTES })
const numbers = machine.ring('numbers', { value: 'u32', bytes: BYTES })
const storage = RingBuffer.getStorageForCapacity(BYTES, Uint8Array)
const theirs = new RingBuffer(storage, Uint8Array)
const message = new Uint8Array(64).fill(7)
/** Each an array of its own: postMessage copies one that comes twice only once. */
const batch = Array.from({ length: BATCH }, () => message.slice())

const RINGBUF = 'ringbuf.js: push, pop'
const alone: Suite = {
  title: 'send and receive, one thread',
  unit: 'ns',
  note: 'Of 64 bytes, which come as an array of their own. ringbuf.js takes no locks, as it has one sender and one receiver.',
  rows: [
    {
      name: 'SharedRing: trySend, tryReceive',
      role: 'ours',
      compareWith: RINGBUF,
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          ring.trySend(message)
          sum += ring.tryReceive()?.[0] ?? 0
        }
        return sum
      }),
    },
    {
      name: `SharedRing: trySendMany, receiveMany of ${BATCH}, each message`,
      role: 'ours',
      compareWith: RINGBUF,
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i += BATCH) {
          ring.trySendMany(batch)
          sum += ring.receiveMany(BATCH).length
        }
        return sum
      }),
    },
    {
      name: 'SharedRing of u32',
      role: 'ours',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          numbers.trySend(i)
          sum += numbers.tryReceive() ?? 0
        }
        return sum
      }),
    },
    {
      name: RINGBUF,
      role: 'peer',
      measure: perOperation((count) => {
        let sum = 0
        for (let i = 0; i < count; i++) {
          theirs.push(message)
          const received = new Uint8Array(64)
          theirs.pop(received)
          sum += received[0] ?? 0
        }
        return sum
      }),
    },
  ],
}

let worker: Worker | undefined
/** Each call sends one message, or one batch. */
const senders: Readonly<Record<RingWay, () => void>> = {
  blocking: () => ring.send(message),
  async: () => ring.send(message),
  'ringbuf.js': () => {
    awaitUntil(() => theirs.availableWrite() >= 64)
    theirs.push(message)
  },
  postMessage: () => worker?.postMessage(message),
  batches: () => ring.sendMany(batch),
  'postMessage of batches': () => worker?.postMessage(batch),
}
/** Nanoseconds a message, until the last one has come. */
function between(way: RingWay): Measure {
  const send = senders[way]
  return async () => {
    if (!worker) throw new Error('there is no worker')
    const done = once(worker, 'message')
    const begun = process.hrtime.bigint()
    worker.postMessage({ way, count: MESSAGES } satisfies RingOrder)
    for (let i = 0; i < MESSAGES; i += way.includes('batches') ? BATCH : 1) send()
    await done
    return Number(process.hrtime.bigint() - begun) / MESSAGES
  }
}

const POST = 'postMessage'
const POST_MANY = `postMessage of arrays of ${BATCH}`
const threads: Suite = {
  title: 'from one thread to another',
  unit: 'ns',
  note: `Time for each of ${MESSAGES.toLocaleString('en')} messages of 64 bytes, sent as fast as there is room. ringbuf.js has no waiting: both sides spin.`,
  take: 'median',
  setUp: async () => {
    const workerData: RingWorkerData = { handle: machine.handle, storage }
    worker = new Worker(new URL('./ring-worker.js', import.meta.url), { workerData })
    machine.supervise(worker)
    await once(worker, 'message')
  },
  rows: [
    {
      name: 'SharedRing: send, receive',
      role: 'ours',
      goal: { against: POST, atMost: 0.5 },
      measure: between('blocking'),
    },
    {
      name: 'SharedRing: send, tryReceive or receiveAsync',
      role: 'ours',
      compareWith: POST,
      measure: between('async'),
    },
    { name: 'ringbuf.js, spinning', role: 'peer', measure: between('ringbuf.js') },
    { name: POST, role: 'peer', measure: between('postMessage') },
    {
      name: `SharedRing: sendMany of ${BATCH}, receive and receiveMany`,
      role: 'ours',
      compareWith: POST_MANY,
      measure: between('batches'),
    },
    { name: POST_MANY, role: 'peer', measure: between('postMessage of batches') },
  ],
  tearDown: async () => {
    await worker?.terminate()
  },
}

export const suites: readonly Suite[] = [alone, threads]
