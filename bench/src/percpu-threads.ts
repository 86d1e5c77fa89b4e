/** Loops that run in several threads, for percpu.ts. */
import { join, type MachineHandle } from 'percpu'
import { addAtomic32 } from 'percpu/mem'
import type { MakeLoop } from './harness/threads.js'

export interface Counted {
  readonly handle: MachineHandle
  /** Word index of what all threads add to. */
  readonly word: number
}

export const addOwn: MakeLoop<Counted> = ({ handle }) => {
  const number = join(handle).percpu.i32({ name: 'number' })
  return (count) => {
    for (let i = 0; i < count; i++) number.add(1)
    return number.local
  }
}

export const addCounter: MakeLoop<Counted> = ({ handle }) => {
  const counter = join(handle).percpu.counter('counter')
  return (count) => {
    for (let i = 0; i < count; i++) counter.add(1)
    return counter.estimate
  }
}

export const addShared: MakeLoop<Counted> = ({ handle, word }) => {
  const { i32 } = join(handle).memory
  return (count) => {
    let last = 0
    for (let i = 0; i < count; i++) last = addAtomic32(i32, word, 1)
    return last
  }
}
