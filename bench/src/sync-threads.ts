/** Loops that run in several threads, for sync.ts. */
import { join, type MachineHandle } from 'percpu'
import { awaitUntil, compareExchangeAtomic32, load32, store32, storeAtomic32 } from 'percpu/mem'
import type { MakeLoop } from './harness/threads.js'

export interface Contended {
  readonly handle: MachineHandle
  /** Word index of the counter; the bare lock is a line behind it. */
  readonly word: number
}

export const lockMutex: MakeLoop<Contended> = ({ handle, word }) => {
  const machine = join(handle)
  const mutex = machine.locks.mutex('contended')
  const { i32 } = machine.memory
  return (count) => {
    for (let i = 0; i < count; i++) {
      mutex.lock()
      store32(i32, word, load32(i32, word) + 1)
      mutex.unlock()
    }
    return load32(i32, word)
  }
}

export const spinPair: MakeLoop<Contended> = ({ handle, word }) => {
  const { i32 } = join(handle).memory
  return (count) => {
    for (let i = 0; i < count; i++) {
      awaitUntil(() => compareExchangeAtomic32(i32, word + 16, 0, 1) === 0)
      store32(i32, word, load32(i32, word) + 1)
      storeAtomic32(i32, word + 16, 0)
    }
    return load32(i32, word)
  }
}
