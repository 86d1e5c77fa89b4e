/** Loops that run in several threads, for alloc.ts. */
import { array, join, struct, u8, type MachineHandle } from 'percpu'
import type { MakeLoop } from './harness/threads.js'

export interface HeapThread {
  readonly handle: MachineHandle
  readonly bytes: number
}

const AT_ONCE = 16

export const allocateAndFree: MakeLoop<HeapThread> = ({ handle, bytes }) => {
  const machine = join(handle)
  const cache = machine.heap.cache('shared', struct('Bytes', { bytes: array(u8, bytes) }))
  const own = new Float64Array(AT_ONCE)
  return (count) => {
    for (let done = 0; done < count; done += AT_ONCE) {
      for (let i = 0; i < AT_ONCE; i++) own[i] = cache.alloc()
      for (let i = 0; i < AT_ONCE; i++) cache.free(own[i] ?? 0)
    }
    return own[0] ?? 0
  }
}
