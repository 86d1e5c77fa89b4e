/**
 * Stays for ever inside the first lock of a layer that the operation takes, with a mutex locked.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Machine, MachineHandle } from 'percpu'
import { mem, percpu } from '../../support/hooked-percpu.js'

export type StuckIn = 'pages' | 'an object' | 'copies' | 'a counter'

const { handle, where } = workerData as { readonly handle: MachineHandle; readonly where: StuckIn }
const operations: Readonly<Record<StuckIn, (machine: Machine) => unknown>> = {
  pages: ({ heap }) => heap.pages.alloc(3),
  'an object': ({ heap }) => {
    // More than one CPU keeps at hand.
    for (;;) heap.alloc(600)
  },
  copies: (machine) => machine.percpu.alloc(1000),
  'a counter': (machine) => {
    machine.percpu.counter('counter').add(1000)
  },
}
const machine = percpu.join(handle)
// What is made at the first use is there.
machine.heap.free(machine.heap.alloc(600))
machine.percpu.free(machine.percpu.alloc(1000))
machine.percpu.counter('counter').add(1000)
machine.locks.mutex('m').lock()

const before = new Int32Array(new SharedArrayBuffer(4))
let taken: number | undefined
mem.control.before = (name, [, word, first, second]) => {
  if (taken !== undefined && name === 'store32') {
    parentPort?.postMessage(machine.cpu)
    Atomics.wait(before, 0, 0)
  }
  if (name === 'compareExchangeAtomic32' && first === 0 && second !== 0) taken = word as number
  else if (name === 'storeAtomic32' && word === taken) taken = undefined
}
operations[where](machine)
