/**
 * Private bytes for a short time: many of them in one buffer.
 *
 * To make a buffer takes the engine a microsecond, most of it in the garbage collection. A view of
 * one that is there takes a seventh of that. Nothing of it is given to users: they would see what
 * lies beside it.
 */
const BUFFER_BYTES = 16 * 1024
/** What is longer has a buffer of its own. */
const LONG = BUFFER_BYTES / 16

let buffer = new ArrayBuffer(BUFFER_BYTES)
let used = 0

/** So many bytes, whatever they are. */
export function shortLived(length: number): Uint8Array {
  if (length > LONG) return new Uint8Array(length)
  if (used + length > BUFFER_BYTES) {
    buffer = new ArrayBuffer(BUFFER_BYTES)
    used = 0
  }
  const bytes = new Uint8Array(buffer, used, length)
  used += length
  return bytes
}

/** A copy of the first bytes. */
export function shortLivedCopy(bytes: Uint8Array, length: number): Uint8Array {
  const copy = shortLived(length)
  copy.set(length === bytes.length ? bytes : bytes.subarray(0, length))
  return copy
}
