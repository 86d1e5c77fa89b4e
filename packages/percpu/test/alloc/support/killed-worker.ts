/** Allocates, links, unlinks and frees as fast as it can, until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import { join, type Machine } from 'percpu'
import { randomFrom } from '../../support/random.js'
import { bytes } from './bytes.js'
import { SLOTS, type KilledWorkerData } from './killed-worker-data.js'
import { addAtomic32, load32, store32 } from 'percpu/mem'

const data = workerData as KilledWorkerData
const random = randomFrom(data.seed)

const machine: Machine = join(data.handle)
const { i32 } = machine.memory
const mutex = machine.locks.mutex('table')
const cache = machine.heap.cache('cell', bytes(200, 64))
const sizes = [16, 64, 64, 200, 1000, 5000]

function allocate(): number {
  return random(3) === 0 ? cache.alloc() : machine.heap.alloc(sizes[random(sizes.length)] ?? 64)
}

const actions: readonly (() => void)[] = [
  // Link: the object and the slot that leads to it, or neither.
  () =>
    mutex.run((section) => {
      for (let i = random(20); i >= 0; i--) {
        const word = data.table + random(SLOTS)
        if (load32(i32, word) !== 0) continue
        const address = allocate()
        store32(i32, address / 4, word)
        section.write32(word, address / 8)
        machine.heap.persist(address, section)
      }
    }),
  // Unlink, and free after that.
  () => {
    const unlinked: number[] = []
    mutex.run((section) => {
      for (let i = random(20); i >= 0; i--) {
        const word = data.table + random(SLOTS)
        const address = load32(i32, word) * 8
        if (address === 0) continue
        if (load32(i32, address / 4) !== word) throw new Error(`the object at ${address} was overwritten`)
        section.write32(word, 0)
        machine.heap.adopt(address, section)
        unlinked.push(address)
      }
    })
    for (const address of unlinked) machine.heap.free(address)
  },
  () => {
    const own = Array.from({ length: random(300) }, allocate)
    for (const address of own) store32(i32, address / 4, address | 1)
    for (const address of own) {
      if (load32(i32, address / 4) !== (address | 1))
        throw new Error(`the object at ${address} was overwritten`)
      machine.heap.free(address)
    }
  },
  () => {
    const orders = Array.from({ length: random(40) }, () => random(5))
    const blocks = orders.map((order) => machine.heap.pages.tryAlloc(order))
    blocks.forEach((address, i) => {
      if (address !== undefined) machine.heap.pages.free(address, orders[i] ?? 0)
    })
  },
  () => {
    if (random(20) === 0) machine.heap.trim()
  },
]

parentPort?.postMessage('ready')
for (let turn = 1; ; turn++) {
  actions[random(actions.length)]?.()
  if (turn % 16 === 0) addAtomic32(i32, data.turns, 16)
  if (turn % 256 === 0) await new Promise(setImmediate)
}
