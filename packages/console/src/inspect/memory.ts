/** What the memory of a machine is used for, as viewers draw it. */
import type { HeapReport, Machine } from 'percpu'

/** A stretch of memory that is used for one thing. */
export interface MemoryStretch {
  readonly address: number
  readonly bytes: number
  /** For what; of memory that the heap has taken: {@link HEAP_LABEL}. */
  readonly label: string
}
/** Bytes, throughout. */
export interface MemoryReport {
  readonly total: number
  readonly used: number
  readonly largestFree: number
  /** In the order of their addresses. What lies between them is free. */
  readonly stretches: readonly MemoryStretch[]
  /** Undefined for a heap of more than {@link WALKED}. */
  readonly heap: HeapReport | undefined
}

/** What boot memory calls the spans of the heap. */
export const HEAP_LABEL = 'pages'
/** Largest heap that is looked into, bytes: it is walked over, in this thread. */
const WALKED = 256 * 2 ** 20
/** What a walk of a millisecond has found is kept for this many. */
const REST = 1000

/**
 * Reports of one machine. Each looks at what boot memory has. Walks over the heap take at most a
 * thousandth of this thread's time.
 */
export class MemoryWatch {
  readonly #machine: Machine
  #heap: HeapReport | undefined
  /** Until when it is kept. */
  #due = 0

  constructor(machine: Machine) {
    this.#machine = machine
  }

  /** @throws OfflineError */
  report(): MemoryReport {
    const { total, used, largestFree, regions } = this.#machine.heap.memblock.report()
    const stretches: MemoryStretch[] = []
    let taken = 0
    for (const { address, size, label } of regions) {
      if (label === HEAP_LABEL) taken += size
      const last = stretches.at(-1)
      if (last?.label === label && last.address + last.bytes === address)
        stretches.splice(-1, 1, { ...last, bytes: last.bytes + size })
      else stretches.push({ address, bytes: size, label })
    }
    return { total, used, largestFree, stretches, heap: taken > WALKED ? undefined : this.#walk() }
  }

  #walk(): HeapReport {
    const began = performance.now()
    if (this.#heap && began < this.#due) return this.#heap
    this.#heap = this.#machine.heap.report()
    const end = performance.now()
    this.#due = end + REST * (end - began)
    return this.#heap
  }
}
