/**
 * Replaces objects that other threads read, and frees the old ones after a grace period: as fast as
 * it can, until it is terminated. Or once, and then parks.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { MachineHandle } from 'percpu'
import { addAtomic32, exchangeAtomic32, load32, loadAtomic32, store32 } from 'percpu/mem'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'

export interface FreeingWorkerData {
  readonly handle: MachineHandle
  /** Byte address of the slots: atomic words with the addresses of objects, in units of 8 bytes. */
  readonly slots: number
  readonly count: number
  /** Byte address of atomic words: turns; functions queued, or about to be; functions called. */
  readonly tally: number
  readonly seed: number
  /** The SRCU domain in which it reads and frees; default: `machine.rcu`. */
  readonly domain?: string
  /** Byte address of the word to park on. */
  readonly park?: number
}
const data = workerData as FreeingWorkerData
const random = randomFrom(data.seed)
const machine = await joinWhenFree(data.handle)
const { heap, memory } = machine
const domain = data.domain === undefined ? undefined : machine.srcu(data.domain)
const queue = domain ?? machine.rcu
const { i32 } = memory
const tally = data.tally / 4
// Whoever waits for what a dead thread had cleans up after it, and is told of what is lost.
machine.on('callbacksLost', ({ count }) => addAtomic32(memory.i32, tally + 3, count))

/** An object says which slot it is for, in all of its words. */
const WORDS = 8
function replace(slot: number): Promise<void> {
  const fresh = heap.alloc(WORDS * 4, { persist: true })
  for (let i = 0; i < WORDS; i++) store32(i32, fresh / 4 + i, slot + 1)
  const old = exchangeAtomic32(i32, data.slots / 4 + slot, fresh / 8)
  return old === 0 ? Promise.resolve() : queue.free(old * 8)
}
function read(slot: number): void {
  const object = loadAtomic32(i32, data.slots / 4 + slot) * 2
  if (object === 0) return
  for (let i = 0; i < WORDS; i++)
    if (load32(i32, object + i) !== slot + 1) throw new Error(`what slot ${slot} named was free`)
}
/** As {@link read}, in a section that lasts across a turn of the event loop. */
async function readLong(slot: number): Promise<void> {
  const token = domain?.readLock() ?? 0
  const object = loadAtomic32(i32, data.slots / 4 + slot) * 2
  await new Promise(setImmediate)
  for (let i = 0; i < WORDS && object !== 0; i++)
    if (load32(i32, object + i) !== slot + 1) throw new Error(`what slot ${slot} named was free`)
  domain?.readUnlock(token)
}

parentPort?.postMessage('ready')
if (data.park !== undefined) {
  await replace(0)
  // A ring may wake it before.
  while (loadAtomic32(i32, data.park / 4) === 0) machine.cpus.park(data.park, 0)
  await machine.offline()
} else {
  for (let turn = 0; ; turn++) {
    const slot = random(data.count)
    if (random(3) === 0) await replace(slot)
    else if (domain) await Promise.all(Array.from({ length: 5 }, () => readLong(random(data.count))))
    else for (let i = 0; i < 20; i++) read(random(data.count))
    if (random(8) === 0) {
      addAtomic32(i32, tally + 1, 1)
      void queue.call(() => addAtomic32(i32, tally + 2, 1))
    }
    if (turn % 64 === 0) addAtomic32(i32, tally, 64)
    if (turn % 256 === 0) await new Promise(setImmediate)
  }
}
