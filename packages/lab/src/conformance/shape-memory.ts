/**
 * The shared memory of threads that run a shape, in 32-bit words:
 *
 *     0     arrived      threads that have reached the barrier of this phase
 *     16    phase        counts barriers; threads wait for it to move
 *     32    stop         1 once no further batch is wanted
 *     48    fence        the word of smp_mb
 *     64 …  progress     one cache line a thread: the run it has reached
 *     then the slots, one a run of a batch: variables, a cache line each, and registers
 */
import { VARIABLE_STRIDE } from './compile.js'

export const ARRIVED = 0
export const PHASE = 16
export const STOP = 32
export const FENCE = 48
export const PROGRESS = 64
/** Words between things that different threads write. */
export const LINE = 16

export interface ShapeLayout {
  readonly threads: number
  /** Runs of a batch. */
  readonly slots: number
  /** Word of the first slot, and words of a slot. */
  readonly base: number
  readonly stride: number
  /** The first register of each process, within a slot. Each process has cache lines of its own. */
  readonly registers: readonly number[]
  readonly words: number
}

export function layOut(variables: number, registers: readonly number[], slots: number): ShapeLayout {
  const base = PROGRESS + registers.length * LINE
  let next = variables * VARIABLE_STRIDE
  const offsets = registers.map((count) => {
    const offset = next
    next += Math.ceil(count / LINE) * LINE
    return offset
  })
  const words = base + slots * next
  return { threads: registers.length, slots, base, stride: next, registers: offsets, words }
}
