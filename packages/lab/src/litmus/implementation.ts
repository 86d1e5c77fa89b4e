/**
 * What an exploration of a litmus test needs of an implementation of RCU or SRCU. All accesses are made through the `#mem` that is
 * given, and all state of a thread is made in `open`, which runs at the first call of each CPU in each execution.
 */
import type * as Mem from 'percpu/mem'
import type { Wait } from './evaluate.js'

export type MemFunctions = typeof Mem

/** Words of shared memory that an implementation was given: all zero, or what `prepare` wrote. */
export interface Place {
  readonly mem: MemFunctions
  readonly memory: Mem.Memory
  /** Index of the first 32-bit word. */
  readonly base: number
  /** CPUs are numbered from 0. */
  readonly cpus: number
}

/** RCU as one CPU uses it. */
export interface RcuUser {
  readLock(): void
  readUnlock(): void
  /** Returns, or resolves, after a grace period. */
  synchronize(): Wait
}
/** One SRCU domain as one CPU uses it. */
export interface SrcuUser {
  /** Returns what {@link readUnlock} must be given. */
  readLock(): number
  readUnlock(index: number): void
  synchronize(): Wait
}

export interface RcuImplementation {
  readonly name: string
  /** How many words it needs. */
  words(cpus: number): number
  open(place: Place, cpu: number): RcuUser
}
export interface SrcuImplementation {
  readonly name: string
  words(cpus: number): number
  open(place: Place, cpu: number): SrcuUser
}
