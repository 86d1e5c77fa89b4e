/** How many references an object has, and who has taken them. */
import { load32, loadAtomic32, type Memory } from '#mem'
import { PASSED } from './rcu-sync.js'

/** What a {@link PercpuRef} tells of its references. */
export interface RefReport {
  /** References that are there, the first one included. While others count, about so many. */
  readonly references: number
  /**
   * For each CPU that has not given back as many as it took, or more: taken less given back, while
   * the CPUs counted for themselves. What a dead thread did not give back stays in the line of its
   * CPU.
   */
  readonly cpus: readonly { readonly cpu: number; readonly taken: number }[]
}

/** `state`: word of the common count; `bias`: what is in it while the CPUs count for themselves. */
export function reportRef({ i32 }: Memory, state: number, parts: readonly number[], bias: number): RefReport {
  // atomic: a snapshot.
  const word = loadAtomic32(i32, state)
  const cpus = parts
    .map((part, cpu) => ({ cpu, taken: load32(i32, part) }))
    .filter(({ taken }) => taken !== 0)
  const own = cpus.reduce((sum, { taken }) => (sum + taken) | 0, 0)
  return { references: (word & PASSED) === 0 ? (word >> 3) - bias + own : word >> 3, cpus }
}
