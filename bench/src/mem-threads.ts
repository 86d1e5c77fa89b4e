/** Loops that run in several threads, for mem.ts. */
import { addAtomic32, load32, openMemory, store32 } from 'percpu/mem'
import type { MakeLoop } from './harness/threads.js'

interface Counters {
  readonly buffer: SharedArrayBuffer
  /** Words from one thread's counter to the next one's; 0: all threads share one. */
  readonly stride: number
}

export const addAtomic: MakeLoop<Counters> = ({ buffer, stride }, thread) => {
  const { i32 } = openMemory(buffer)
  const word = 64 + thread * stride
  return (count) => {
    let last = 0
    for (let i = 0; i < count; i++) last = addAtomic32(i32, word, 1)
    return last
  }
}

export const addPlain: MakeLoop<Counters> = ({ buffer, stride }, thread) => {
  const { i32 } = openMemory(buffer)
  const word = 64 + thread * stride
  return (count) => {
    for (let i = 0; i < count; i++) store32(i32, word, load32(i32, word) + 1)
    return load32(i32, word)
  }
}
