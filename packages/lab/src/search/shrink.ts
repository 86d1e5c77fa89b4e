/**
 * Makes a failing schedule easier to read. It joins stretches of one process that others split,
 * while the failure stays the same. In the end only the switches are left that the failure takes.
 */
import type { Choice } from './schedule.js'

/** The most attempts. */
const limit = 500

/**
 * Shrinks `schedule`. `attempt` runs a schedule; if it ends in the same failure, `attempt` returns
 * the schedule that was really followed.
 */
export function shrink(
  schedule: readonly Choice[],
  attempt: (schedule: readonly Choice[]) => readonly Choice[] | undefined,
): readonly Choice[] {
  let best = schedule
  let attempts = 0
  let improved = true
  while (improved && attempts < limit) {
    improved = false
    const stretches = stretchesOf(best)
    for (let i = 0; i + 2 < stretches.length && attempts < limit; i++) {
      for (const candidate of [joinLater(stretches, i), joinEarlier(stretches, i), without(stretches, i)]) {
        if (candidate === undefined || attempts >= limit) continue
        attempts++
        const followed = attempt(candidate)
        if (followed === undefined || !isBetter(followed, best)) continue
        best = followed
        improved = true
        break
      }
      if (improved) break
    }
  }
  return best
}

function isBetter(one: readonly Choice[], other: readonly Choice[]): boolean {
  const difference = stretchesOf(one).length - stretchesOf(other).length
  return difference < 0 || (difference === 0 && one.length < other.length)
}

function stretchesOf(schedule: readonly Choice[]): Choice[][] {
  const stretches: Choice[][] = []
  for (const choice of schedule) {
    const last = stretches.at(-1)
    if (last?.[0]?.process === choice.process) last.push(choice)
    else stretches.push([choice])
  }
  return stretches
}

/** Stretch `i` moved to right before the next stretch of the same process. */
function joinLater(stretches: readonly Choice[][], i: number): Choice[] | undefined {
  const process = stretches[i]?.[0]?.process
  const next = stretches.findIndex((stretch, at) => at > i && stretch[0]?.process === process)
  if (next < 0) return undefined
  return [
    ...stretches.slice(0, i),
    ...stretches.slice(i + 1, next),
    ...stretches.slice(i, i + 1),
    ...stretches.slice(next),
  ].flat()
}

/** The next stretch of the same process moved to right after stretch `i`. */
function joinEarlier(stretches: readonly Choice[][], i: number): Choice[] | undefined {
  const process = stretches[i]?.[0]?.process
  const next = stretches.findIndex((stretch, at) => at > i && stretch[0]?.process === process)
  if (next < 0) return undefined
  return [
    ...stretches.slice(0, i + 1),
    ...stretches.slice(next, next + 1),
    ...stretches.slice(i + 1, next),
    ...stretches.slice(next + 1),
  ].flat()
}

function without(stretches: readonly Choice[][], i: number): Choice[] {
  return [...stretches.slice(0, i), ...stretches.slice(i + 1)].flat()
}
