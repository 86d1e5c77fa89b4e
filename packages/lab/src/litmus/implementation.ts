/**
 * The part of an implementation of RCU or SRCU that an exploration of a litmus test needs. It makes
 * all accesses through the `#mem` that it is given. It makes all state of a thread in `open`, which
 * runs at the first call of each CPU in each execution.
 */
import type * as Mem from 'percpu/mem'
import type { CpuContext } from '../scenario/cpu-context.js'
import type { Scenario } from '../scenario/scenario.js'
import type { Wait } from './evaluate.js'

export type MemFunctions = typeof Mem

/**
 * The words of shared memory that an implementation is given, all zero, and the means to use them.
 */
export interface ImplementationContext {
  readonly mem: MemFunctions
  readonly memory: Mem.Memory
  /** Index of the first 32-bit word. */
  readonly base: number
  /** The number of CPUs, which are numbered from 0. */
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
  /** Returns the index that {@link readUnlock} must be given. */
  readLock(): number
  readUnlock(index: number): void
  synchronize(): Wait
}

export interface RcuImplementation {
  readonly name: string
  /** The number of words that it needs. */
  words(cpus: number): number
  open(context: ImplementationContext, cpu: number): RcuUser
}
/** RCU of a machine, whose CPUs the processes are that use RCU. */
export interface RcuMachine {
  readonly name: string
  /** Makes the machine, before the exploration. */
  boot(cpus: number): Promise<BootedRcu>
}
export interface BootedRcu {
  /** Tells the scenario of the machine's words. */
  name(t: Scenario): void
  /** Makes the process a CPU, before its first step. */
  join(cpu: CpuContext): RcuCpu
}
export interface RcuCpu extends RcuUser {
  /** The process has ended: no grace period waits for it from now on. */
  leave(): Wait
}

export interface SrcuImplementation {
  readonly name: string
  words(cpus: number): number
  open(context: ImplementationContext, cpu: number): SrcuUser
}
