/** Loops that run in several threads, for rcu-sections.ts. */
import { join, type MachineHandle, type SrcuFlavour } from 'percpu'
import type { MakeLoop } from './harness/threads.js'

export interface Reading {
  readonly handle: MachineHandle
  /** The state of a lock of another package. */
  readonly lock: SharedArrayBuffer
}

const reader =
  (flavour: SrcuFlavour): MakeLoop<Reading> =>
  ({ handle }) => {
    const srcu = join(handle).srcu('read', { flavour })
    return (count) => {
      let sum = 0
      for (let i = 0; i < count; i++) {
        const token = srcu.readLock()
        sum += token
        srcu.readUnlock(token)
      }
      return sum
    }
  }
export const readFast = reader('fast')
export const readNormal = reader('normal')

export const readRwLock: MakeLoop<Reading> = async ({ lock }) => {
  if (!('navigator' in globalThis)) Object.assign(globalThis, { navigator: { hardwareConcurrency: 2 } })
  const { RwLock } = await import('multithreading')
  const rwLock = new RwLock(undefined, lock)
  return (count) => {
    for (let i = 0; i < count; i++) rwLock.blockingRead().dispose()
    return count
  }
}
