/** Memory that is full. */
import type { Machine } from 'percpu'

/** Takes all that a thread can get. Returns what gives it back, of any thread. */
export function fillUp(machine: Machine): readonly number[] {
  const taken: number[] = []
  for (const bytes of [65536, 4096, 512, 64, 8])
    for (let isFull = false; !isFull;)
      try {
        taken.push(machine.heap.alloc(bytes, { persist: true }))
      } catch (error) {
        if ((error as { code?: string }).code !== 'PERCPU_OUT_OF_MEMORY') throw error
        isFull = true
      }
  return taken
}
