/**
 * The stale values that a plain load of a racy word may give.
 *
 * The memory model of ECMAScript forbids one kind of value: one that was overwritten before the
 * load, in happens-before ("coherent reads"). So a load may read any write that was made so far,
 * unless another write hides it: one that happens after that write and before the load. Writes that
 * are still to come (load buffering) are out of reach.
 */
import { writes } from './ops.js'
import type { World } from './world.js'

/**
 * The values beside the newest that the load at `step` may read, and the steps that wrote them: -1
 * for the initial value.
 */
export function staleValues(world: World, step: number): { value: unknown; step: number }[] {
  const { history } = world
  const view = history.view[step]
  if (view === undefined) return []
  const word = history.word[step] as number
  const found: { value: unknown; step: number }[] = []
  /** Writes that happen before the load. */
  const seen: number[] = []
  let newest = true
  // The step itself is the newest link of the word's list.
  let other = (history.links[history.link[step] as number] as number) - 1
  /** The value that the write to be looked at next has left. */
  let after: unknown = history.before[step]
  while (other >= 0) {
    if (writes(history.code[other] as number)) {
      const hidden = seen.some((write) => world.happensBefore(other, write))
      if (!newest && !hidden) found.push({ value: after, step: other })
      newest = false
      if (world.happensBefore(other, step)) seen.push(other)
      after = history.before[other]
    }
    const offset = word - (history.word[other] as number)
    other = (history.links[(history.link[other] as number) + offset] as number) - 1
  }
  // The initial values happen before everything: any write that happens before the load hides them.
  if (!newest && seen.length === 0) found.push({ value: after, step: -1 })
  return found
}
