/**
 * What is to be freed, but found no memory for another block of its list. It waits in the thread's
 * own memory, in order, so freeing never fails. Such things are marked as queued, and outlive their
 * thread: with it, they are lost to the machine. How many there are stands in shared memory.
 */
import { storeAtomic32, type Memory } from '#mem'
import type { FreeQueue } from './free-queue.js'
import { CallbackList } from './layouts.js'

const { words } = CallbackList

export class Homeless {
  readonly #memory: Memory
  readonly #word: number
  readonly #queue: FreeQueue
  #waiting: { readonly entry: number; readonly units: number }[] = []

  constructor(memory: Memory, list: number, queue: FreeQueue) {
    this.#memory = memory
    this.#word = list + words.homeless
    this.#queue = queue
  }

  get count(): number {
    return this.#waiting.length
  }

  add(entry: number, units: number): void {
    this.#waiting.push({ entry, units })
    this.#tell()
  }

  /** Moves as many into the list as there is memory for. */
  flush(): void {
    if (this.#waiting.length === 0) return
    let moved = 0
    for (const { entry, units } of this.#waiting) {
      // Its tag says queued already.
      if (!this.#queue.push(entry, 0, units)) break
      moved++
    }
    this.#waiting = this.#waiting.slice(moved)
    this.#tell()
  }

  #tell(): void {
    // CO(list.homeless) pairs with CP in Barrier: after it, `tail` counts those that were moved.
    // Mutant: rcu/homeless-untold.
    storeAtomic32(this.#memory.i32, this.#word, this.#waiting.length)
  }
}
