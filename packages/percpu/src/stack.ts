/**
 * Room on the stack. A thread that recurses too deep gets a RangeError at whatever call it makes
 * then, in the middle of the library, too. What was begun there must be ended at that depth, by
 * calls that need room themselves. So whatever has to be ended makes sure first that there is room
 * for ending it.
 *
 * An unlock needs no more room than its lock did, called from the same function. Where more is
 * needed, {@link ensureStack} is called before the first change. What it is asked for is several
 * times what the end takes: an engine makes frames larger when it gives optimised code up, as it
 * does where an exception is caught.
 */

/** For a few functions that call each other, such as to release a lock and ring who waits. */
export const FEW = 1
/** For taking back the changes of a layer's section. */
export const SOME = 2
/** For what calls users, or ends their sections. */
export const MANY = 4

/**
 * Makes sure of this many frames of 1.8 KB. The arguments of the call that is never made have
 * places in the function's frame, and an engine makes sure of a whole frame when a function is
 * entered. V8 does so for optimised code as well, which it may have to give up. The function is too
 * long to be inlined. Measured on Node 20, 2026-11-26: 7 ns a frame.
 *
 * @throws RangeError, the engine's own, if there is not that much room.
 */
export function ensureStack(frames: number, never?: (...zeros: number[]) => void): void {
  if (frames > 1) ensureStack(frames - 1)
  if (never !== undefined) {
    // prettier-ignore
    never(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  }
}
