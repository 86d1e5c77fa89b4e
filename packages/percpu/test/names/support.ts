/** Something of each kind that has names: how it is made, and how it ends. */
import type { Machine } from 'percpu'
import { load32 } from 'percpu/mem'
import { killAtAccess, mem, percpu } from '../support/hooked-percpu.js'

const { insideOf } = await import('../support/inside.js')
const { SyncMap } = await import('../../dist/sync/sync-map.js')
const { LAYER_LOCKS, LayerRecord } = await import('../../dist/sync/layouts.js')
const { atomic, i32, struct } = percpu

export const Cell = struct('Cell', { value: atomic(i32) })

export interface NamedKind {
  readonly make: (machine: Machine, name: string) => unknown
  /** Takes the name away. It is in nobody's use. */
  readonly end: (machine: Machine, name: string) => void | Promise<void>
}

export const kinds: Readonly<Record<string, NamedKind>> = {
  object: {
    make: (machine, name) => machine.objects.openOrCreate(name, Cell).address,
    end: (machine, name) => machine.objects.remove(name),
  },
  mutex: {
    make: (machine, name) => machine.locks.mutex(name).address,
    end: (machine, name) => machine.locks.remove('mutex', name),
  },
  completion: {
    make: (machine, name) => machine.locks.completion(name).address,
    end: (machine, name) => machine.locks.remove('completion', name),
  },
  condition: {
    make: (machine, name) => machine.locks.condition(name, machine.locks.mutex('of it')).address,
    end: (machine, name) => machine.locks.remove('condition', name),
  },
  seqlock: {
    make: (machine, name) => machine.locks.seqlock(name).address,
    end: (machine, name) => machine.locks.remove('seqlock', name),
  },
  semaphore: {
    make: (machine, name) => machine.locks.semaphore(name, 3).address,
    end: (machine, name) => machine.locks.remove('semaphore', name),
  },
  'per-CPU object': {
    make: (machine, name) => machine.percpu(Cell, { name }).pointer,
    end: (machine, name) => machine.percpu.remove('object', name),
  },
  counter: {
    make: (machine, name) => machine.percpu.counter(name),
    end: (machine, name) => machine.percpu.remove('counter', name),
  },
  ref: {
    make: (machine, name) => machine.percpu.ref(name),
    async end(machine, name) {
      const ref = machine.percpu.ref(name)
      if (!ref.isDying) await ref.kill()
      machine.percpu.remove('ref', name)
    },
  },
  rwSemaphore: {
    make: (machine, name) => machine.percpu.rwSemaphore(name),
    end: (machine, name) => machine.percpu.remove('rwSemaphore', name),
  },
  srcu: {
    make: (machine, name) => machine.srcu(name),
    end: (machine, name) => machine.srcu(name).cleanup(),
  },
}

/** Whether the CPU has a lock of a layer: others would wait for it. */
export function hasLayerLock({ memory, cpu }: Machine): boolean {
  const map = SyncMap.open(memory, insideOf(memory).objects)
  const layers = Array.from({ length: LAYER_LOCKS }, (_, layer) => map.layerRecord(cpu, layer))
  return layers.some((record) => load32(memory.i32, record + LayerRecord.words.lock) !== 0)
}

/** Accesses to shared memory that `operation` makes, by their names. */
export function accessesOf(operation: () => unknown): readonly string[] {
  const names: string[] = []
  mem.control.before = (name) => names.push(name)
  try {
    operation()
  } finally {
    mem.control.before = undefined
  }
  return names
}

/** All that was queued to be freed is. */
export async function settle(machine: Machine): Promise<void> {
  await machine.rcu.synchronize()
  await machine.rcu.barrier()
}

/** What is allocated, and how much per-CPU memory is in use. */
export function inUse(machine: Machine): { readonly blocks: number; readonly copies: number } {
  machine.heap.verify()
  machine.percpu.verify()
  return { blocks: machine.heap.allocations().length, copies: machine.percpu.report().usedBytes }
}

/** The numbers of the accesses before which it makes a difference to be killed. */
export function changesOf(names: readonly string[]): readonly number[] {
  const matters = (name = ''): boolean => /^(compareExchange|store|copyIn|fill|exchange)/.test(name)
  return [...names.keys(), names.length].filter((at) => matters(names[at]) || matters(names[at - 1]))
}

/** What the dead had still to do as jobs of their own is not done either. */
export function killForGood(run: () => unknown, at: number, victim: Machine): void {
  const { queueMicrotask } = globalThis
  globalThis.queueMicrotask = () => undefined
  try {
    killAtAccess(run, at, victim)
  } finally {
    globalThis.queueMicrotask = queueMicrotask
  }
}
