/**
 * How many messages were sent, or received: two counts, each with the position that it is for. That
 * of the present tail, or head, counts.
 *
 *     at │ count │ at │ count
 *
 * Before tail or head moves, the other count is made that of the new position. So moving it changes
 * the count as well, at the same moment, whether or not its thread lives on. It may wrap around:
 * only differences below 2^32 are asked for.
 */
import * as mem from '#mem'
import type { I32View } from '#mem'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem

/** `counts`: word index. Counts `more` for `next` than for `position`. */
export function countNext(i32: I32View, counts: number, position: number, next: number, more = 1): void {
  const isFirst = load32(i32, counts) === position
  const present = isFirst ? counts : counts + 2
  const other = isFirst ? counts + 2 : counts
  store32(i32, other, next)
  store32(i32, other + 1, load32(i32, present + 1) + more)
}

/** The count of a position, which is the present one. */
export function countAt(i32: I32View, counts: number, position: number): number {
  return load32(i32, counts + (load32(i32, counts) === position ? 1 : 3))
}
