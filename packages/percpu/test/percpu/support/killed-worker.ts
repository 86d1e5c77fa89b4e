/** Uses per-CPU memory as fast as it can, until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads'
import { OutOfMemoryError, type MachineHandle } from 'percpu'
import { joinWhenFree } from '../../support/machines.js'
import { randomFrom } from '../../support/random.js'
import { addAtomic32, load32, store32 } from 'percpu/mem'

export interface KilledWorkerData {
  readonly handle: MachineHandle
  /**
   * Byte address of the words, one a slot, that hold the pointers of this thread; it frees what a
   * predecessor left.
   */
  readonly slots: number
  readonly count: number
  /** Byte address of the number of turns. */
  readonly turns: number
  /**
   * Byte address of two atomic words in which this thread counts beside the counter: begun, and
   * done.
   */
  readonly tally: number
  readonly seed: number
}
const data = workerData as KilledWorkerData
const random = randomFrom(data.seed)
const machine = await joinWhenFree(data.handle)
const { percpu, memory } = machine
const counter = percpu.counter('counter')
const hits = percpu.i32({ name: 'hits' })
const ref = percpu.ref('ref')
const lock = percpu.rwSemaphore('lock')

function slotOf(): number {
  return data.slots / 4 + random(data.count)
}
/** Takes the pointer out of its slot first: a kill in between loses that one allocation. */
function freeOne(): void {
  const slot = slotOf()
  const pointer = load32(memory.i32, slot)
  if (pointer === 0) return
  store32(memory.i32, slot, 0)
  percpu.free(pointer)
}
function allocOne(): void {
  const slot = slotOf()
  if (load32(memory.i32, slot) !== 0) return
  try {
    percpu.alloc(1 + random(random(8) === 0 ? 9000 : 200), { into: slot * 4 })
  } catch (error) {
    if (!(error instanceof OutOfMemoryError)) throw error
  }
}
function count(): void {
  const amount = 1 + random(3)
  addAtomic32(memory.i32, data.tally / 4, amount)
  counter.add(amount)
  addAtomic32(memory.i32, data.tally / 4 + 1, amount)
  hits.add(1)
}
const actions: readonly (() => unknown)[] = [
  allocOne,
  allocOne,
  freeOne,
  count,
  count,
  () => {
    const guard = lock.readLock()
    ref.get()
    ref.put()
    guard.unlock()
  },
  () => percpu.trim(),
]
parentPort?.postMessage('ready')
for (let turn = 0; ; turn++) {
  actions[random(random(16) === 0 ? actions.length : actions.length - 1)]?.()
  if (turn % 64 === 0) addAtomic32(memory.i32, data.turns / 4, 64)
  if (turn % 256 === 0) await new Promise(setImmediate)
}
