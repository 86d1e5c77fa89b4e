/** How waits for locks that close a circle are found. */
import type { AwaitedLock, LockState } from '../sync/lock-state.js'

/**
 * CPUs that wait in a circle: each waits for a lock that the next one owns, and the last one for a
 * lock of the first.
 */
export interface Deadlock {
  readonly cpus: readonly number[]
  /** The lock that each of them waits for, in the same order. */
  readonly locks: readonly AwaitedLock[]
  /**
   * True if each of the threads waits as a whole. A task that waits may be helped by another task
   * of its thread.
   */
  readonly certain: boolean
}

/** Circles of waits; each is named once, beginning with its lowest CPU. */
export function findDeadlocks(states: ReadonlyMap<number, LockState>): Deadlock[] {
  const found: Deadlock[] = []
  const path: { readonly cpu: number; readonly lock: AwaitedLock }[] = []
  const visit = (start: number, cpu: number): void => {
    for (const lock of states.get(cpu)?.awaited ?? []) {
      const { owner } = lock
      if (owner === undefined || owner < start || path.some((step) => step.cpu === owner && owner !== start))
        continue
      path.push({ cpu, lock })
      // A task that waits for another one of its own thread is in a queue, not in a circle.
      if (owner === start && (cpu !== start || lock.blocking)) found.push(circleOf(path))
      else if (owner !== start) visit(start, owner)
      path.pop()
    }
  }
  for (const cpu of states.keys()) visit(cpu, cpu)
  return found
}

function circleOf(path: readonly { readonly cpu: number; readonly lock: AwaitedLock }[]): Deadlock {
  return {
    cpus: path.map(({ cpu }) => cpu),
    locks: path.map(({ lock }) => lock),
    certain: path.every(({ lock }) => lock.blocking),
  }
}
