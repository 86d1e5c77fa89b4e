/** Memory that is given back because an object could not be filled. */
import { PercpuError } from '../errors.js'

/**
 * Throws the error with which filling an object failed, with its memory free again.
 *
 * @throws `error`; or what `free` throws, with `error` as its cause
 */
export function freeAfter(error: unknown, free: () => void): never {
  try {
    free()
  } catch (second) {
    // It is in flight: it ends with the thread.
    if (second instanceof PercpuError && second.cause === undefined) second.cause = error
    throw second
  }
  throw error
}
