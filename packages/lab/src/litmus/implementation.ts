/**
 * The part of an implementation of RCU and SRCU that an exploration of a litmus test needs. Its
 * accesses are explored along with those of the test.
 */
import type * as Mem from 'percpu/mem'
import type { CpuContext } from '../scenario/cpu-context.js'
import type { Scenario } from '../scenario/scenario.js'
import type { Wait } from './evaluate.js'

export type MemFunctions = typeof Mem

/** RCU as one CPU uses it. */
export interface RcuUser {
  readLock(): void
  readUnlock(): void
  /** Returns, or resolves, after a grace period. */
  synchronize(expedited: boolean): Wait
}
/** One SRCU domain as one CPU uses it. */
export interface SrcuUser {
  /** Returns the index that {@link readUnlock} must be given. */
  readLock(): number
  readUnlock(index: number): void
  /** A section that another CPU may end by {@link upRead}. */
  downRead(): number
  upRead(index: number): void
  synchronize(expedited: boolean): Wait
}

/** What the processes of a test, or one of them, use. */
export interface Uses {
  readonly rcu: boolean
  /** Names of the SRCU domains. */
  readonly domains: readonly string[]
}

export interface Implementation {
  readonly name: string
  /** Makes what all CPUs share, before the exploration. */
  boot(cpus: number, uses: Uses): BootedImplementation | Promise<BootedImplementation>
}
export interface BootedImplementation {
  /** Tells the scenario of its words, or takes some of the scenario's. */
  name(t: Scenario): void
  /**
   * Makes a process a CPU, before its first step. Its event loop goes on when the process has
   * ended. `misused` is to be called with a name of each misuse that was refused.
   */
  join(cpu: CpuContext, uses: Uses, misused: (what: string) => void): ImplementationCpu
}
export interface ImplementationCpu {
  readonly rcu: RcuUser
  srcu(domain: string): SrcuUser
}
