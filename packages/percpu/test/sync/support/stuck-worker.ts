/**
 * Stays for ever inside a lock of a layer that an operation takes. Before, it locks a mutex. It
 * posts its CPU when it is there.
 */
import { once } from 'node:events'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import type { Machine, MachineHandle } from 'percpu'
import { mem, percpu } from '../../support/hooked-percpu.js'

export type StuckIn =
  | ('pages' | 'an object' | 'copies' | 'a counter' | 'a bucket' | 'a ring' | 'ranges')
  | ('a name' | 'a callback')
  | ('pages, with a child' | 'a mutex')

interface Scene {
  /** Makes what is made at the first use. */
  readonly prepare?: (machine: Machine) => unknown
  readonly run?: (machine: Machine) => unknown
  /** Stops at a plain store with so many locks of layers. Default: 1. */
  readonly locks?: number
  /** So many atomic stores after the last of them. Default: 0. */
  readonly stores?: number
}

const { handle, where } = workerData as { readonly handle: MachineHandle; readonly where: StuckIn }
const Unit = percpu.struct('Unit', { value: percpu.i32 })
let large = 0
const pages: Scene = {
  prepare: ({ heap }) => heap.pages.free(heap.pages.alloc(3), 3),
  run: ({ heap }) => heap.pages.alloc(3),
}
const scenes: Readonly<Record<StuckIn, Scene>> = {
  pages,
  'an object': {
    prepare: ({ heap }) => heap.free(heap.alloc(600)),
    run: ({ heap }) => {
      // More than one CPU keeps at hand.
      for (;;) heap.alloc(600)
    },
  },
  copies: {
    prepare: (machine) => machine.percpu.free(machine.percpu.alloc(1000)),
    run: (machine) => machine.percpu.alloc(1000),
  },
  'a counter': {
    prepare: (machine) => machine.percpu.counter('counter').add(1000),
    run: (machine) => machine.percpu.counter('counter').add(1000),
  },
  'a bucket': {
    prepare: (machine) => machine.map('map', { key: 'i32', value: 'i32' }).set(1, 0),
    run: (machine) => machine.map('map', { key: 'i32', value: 'i32' }).set(1, 1),
    // The new entry is found, and the old one not queued.
    stores: 1,
  },
  'a ring': {
    prepare: (machine) => machine.ring('ring', { value: 'i32' }).trySend(1),
    run: (machine) => machine.ring('ring', { value: 'i32' }).trySend(2),
  },
  ranges: {
    prepare: (machine) => machine.rangeMap('ranges', { key: 'u32', value: 'i32' }).set(1, 9, 1),
    run: (machine) => machine.rangeMap('ranges', { key: 'u32', value: 'i32' }).set(5, 9, 2),
    // The new version is found, and the old one not queued.
    stores: 1,
  },
  'a name': {
    prepare: ({ objects }) => objects.create('first', Unit),
    run: ({ objects }) => objects.create('x', Unit),
    // It is linked, and not persistent.
    stores: 2,
  },
  'a callback': {
    prepare: ({ heap }) => {
      heap.free(heap.alloc(2 ** 17))
      large = heap.alloc(2 ** 17)
      heap.persist(large)
    },
    run: ({ rcu }) => rcu.free(large),
    // The list's, and that of the pages.
    locks: 2,
  },
  'pages, with a child': {
    ...pages,
    prepare: (machine) => {
      pages.prepare?.(machine)
      const child = new Worker(new URL(import.meta.url), { workerData: { handle, where: 'a mutex' } })
      machine.supervise(child)
      return once(child, 'message')
    },
  },
  'a mutex': {},
}
const { prepare, run, locks = 1, stores = 0 }: Scene = scenes[where]
const machine = percpu.join(handle)
await prepare?.(machine)
if (where !== 'pages, with a child') machine.locks.mutex('m').lock()
if (run === undefined) parentPort?.postMessage(machine.cpu)
else {
  const taken = new Set<unknown>()
  let stored = 0
  mem.control.before = (name, [, word, first, second]) => {
    if (name === 'store32' && taken.size === locks && stored === stores) {
      parentPort?.postMessage(machine.cpu)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }
    if (name === 'compareExchangeAtomic32' && first === 0 && second !== 0) {
      taken.add(word)
      stored = 0
    } else if (name === 'storeAtomic32' && !taken.delete(word)) stored++
  }
}
await run?.(machine)
setInterval(() => undefined, 1000)
