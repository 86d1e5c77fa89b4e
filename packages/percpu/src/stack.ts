/**
 * Room on the stack. A thread that recurses too deep gets a RangeError at whatever call it makes
 * then, in the middle of the library, too. What was begun there must be ended at that depth, by
 * calls that need room themselves. So whatever has to be ended makes sure first that there is room
 * for ending it.
 *
 * An unlock needs no more room than its lock did, called from the same function. Where more is
 * needed, {@link ensureStack} is called before the first change. What it asks for is several times
 * what the end takes: an engine makes frames larger when it gives optimised code up, as it does
 * where an exception is caught.
 */

/** For a few functions that call each other, such as to release a lock and ring who waits. */
const FEW = 12
/** For taking back the changes of a layer's section. */
export const SOME = 24
/** For what calls users, or ends their sections: it contains the others. */
export const MANY = 48

/**
 * Makes sure that there is room for so many frames of some 100 to 200 bytes, depending on how the
 * engine runs this function. Cost: about 2 ns a frame.
 *
 * @throws RangeError, the engine's own, if there is not.
 */
export function ensureStack(frames = FEW): void {
  descend(frames, 0, 0, 0, 0, 0, 0, 0)
}

/** The arguments make its frames larger than those of most functions. */
function descend(
  frames: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
  f: number,
  g: number,
): number {
  return frames === 0 ? a : descend(frames - 1, b, c, d, e, f, g, a) + 1
}
