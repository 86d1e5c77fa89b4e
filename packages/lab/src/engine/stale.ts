/**
 * What else a plain load of a racy word may give: the memory model of ECMAScript only forbids a value that was overwritten, in
 * happens-before, before the load ("coherent reads"). So a load may read any write made so far that no write between it and the load,
 * ordered with both, hides. Writes that are still to come (load buffering) are out of reach.
 */
import { writes } from './ops.js'
import type { World } from './world.js'

/** The values beside the newest that the load at `step` may see, and the steps that wrote them (-1: before all). */
export function staleValues(world: World, step: number): { value: unknown; step: number }[] {
  const { history } = world
  const view = history.view[step]
  if (view === undefined) return []
  const word = history.word[step] as number
  const found: { value: unknown; step: number }[] = []
  /** Writes that happened before the load. */
  const seen: number[] = []
  let newest = true
  // The step itself is the newest link of the word's list.
  let other = (history.links[history.link[step] as number] as number) - 1
  /** The value that the write which is looked at next left behind. */
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
  // Everything happens after the initial values: they are hidden by any write that happened before the load.
  if (!newest && seen.length === 0) found.push({ value: after, step: -1 })
  return found
}
