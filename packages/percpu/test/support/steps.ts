/** Counts the library's accesses to shared memory: steps. Import hooked-percpu.ts first. */
import type { Machine } from 'percpu'
import { mem } from './hooked-percpu.js'

export interface Steps {
  /** Of the whole operation. */
  readonly all: number
  /** In the longest stretch with a lock of the library's own layers held. */
  readonly locked: number
}

/**
 * Runs the operation, and counts. A stretch with a lock is from the compare-and-exchange that takes
 * it, from 0 to something else, to the store of 0 that releases it.
 */
export function countSteps(operation: () => unknown): Steps {
  const held = new Map<number, number>()
  let all = 0
  let locked = 0
  mem.control.before = (name, [, word, first, second]) => {
    all++
    if (typeof word !== 'number') return
    if (name === 'compareExchangeAtomic32' && first === 0 && second !== 0) held.set(word, all)
    const since = held.get(word)
    if (since === undefined || name !== 'storeAtomic32' || first !== 0) return
    locked = Math.max(locked, all - since)
    held.delete(word)
  }
  try {
    operation()
  } finally {
    mem.control.before = undefined
  }
  return { all, locked }
}

/** Steps for each of the things that a small and a large case are about. */
export function eachOf(
  sizes: readonly [number, number],
  steps: (size: number) => number,
): readonly [number, number] {
  return [steps(sizes[0]) / sizes[0], steps(sizes[1]) / sizes[1]]
}

/** Takes all pages of these nodes. */
export function fillNodes(machine: Machine, nodes: readonly number[]): void {
  const numbers = machine.cpus.states().map(({ node }) => node)
  const nodeBytes = machine.memory.byteLength / (Math.max(...numbers) + 1)
  const { pages } = machine.heap
  for (const node of nodes)
    for (const order of [10, 8, 6, 4, 2, 0])
      for (;;) {
        const address = pages.tryAlloc(order, { node })
        if (address === undefined) break
        if (Math.floor(address / nodeBytes) === node) continue
        pages.free(address, order)
        break
      }
}
