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

/** A step of a path: a CPU, and the lock that it waits for. */
interface Step {
  readonly cpu: number
  readonly lock: AwaitedLock
}

/**
 * Circles of waits: of each CPU that is in one, a shortest one. Each is named once, beginning with
 * its lowest CPU. A circle in which every thread waits as a whole is always named: each of these
 * threads has only one lock to wait for.
 *
 * Not all circles: of CPUs that all wait for each other there are more than their factorial. Cost:
 * each CPU looks at each wait once at most.
 */
export function findDeadlocks(states: ReadonlyMap<number, LockState>): Deadlock[] {
  const found = new Map<string, Deadlock>()
  for (const cpu of [...states.keys()].sort((a, b) => a - b)) {
    const circle = shortestCircle(states, cpu)
    if (!circle) continue
    const named = circleOf(circle)
    const key = named.cpus.join()
    if (!found.has(key)) found.set(key, named)
  }
  return [...found.values()]
}

/** A shortest way along waits from `start` back to it; undefined if there is none. */
function shortestCircle(states: ReadonlyMap<number, LockState>, start: number): Step[] | undefined {
  const cameBy = new Map<number, Step>()
  const reached = [start]
  // The list grows while it is walked.
  for (const cpu of reached) {
    for (const lock of states.get(cpu)?.awaited ?? []) {
      const { owner } = lock
      // A task that waits for another one of its own thread is in a queue, not in a circle.
      if (owner === undefined || (owner === cpu && !(lock.blocking && cpu === start))) continue
      if (owner === start) return wayTo(cpu, start, cameBy, { cpu, lock })
      if (cameBy.has(owner)) continue
      cameBy.set(owner, { cpu, lock })
      reached.push(owner)
    }
  }
  return undefined
}

function wayTo(cpu: number, start: number, cameBy: ReadonlyMap<number, Step>, last: Step): Step[] {
  const way = [last]
  for (let step = cameBy.get(cpu); cpu !== start && step; step = cameBy.get(cpu)) {
    way.push(step)
    cpu = step.cpu
  }
  return way.reverse()
}

function circleOf(circle: readonly Step[]): Deadlock {
  const lowest = Math.min(...circle.map(({ cpu }) => cpu))
  const at = circle.findIndex(({ cpu }) => cpu === lowest)
  const steps = [...circle.slice(at), ...circle.slice(0, at)]
  return {
    cpus: steps.map(({ cpu }) => cpu),
    locks: steps.map(({ lock }) => lock),
    certain: steps.every(({ lock }) => lock.blocking),
  }
}
