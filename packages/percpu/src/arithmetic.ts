/** Arithmetic that every layer needs: sizes, powers of two, and one hash. */

/** Bytes of a page. */
export const PAGE_BYTES = 4096

/** The smallest multiple of `multiple` that is not below `value`. */
export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}

/** Whether `value` is 1, 2, 4 … up to 2^52. False for anything that is not a number. */
export function isPowerOfTwo(value: number): boolean {
  if (typeof value !== 'number') return false
  if ((value | 0) === value) return value > 0 && (value & (value - 1)) === 0
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value
}

/** The largest power of two that is not above `value`. */
export function powerOfTwoBelow(value: number): number {
  return 2 ** Math.floor(Math.log2(value))
}

/** The smallest power of two that is not below `value`. */
export function powerOfTwoAbove(value: number): number {
  return 2 ** Math.ceil(Math.log2(value))
}

// FNV-1a, 32 bits (Fowler, Noll, Vo; public domain), over units of up to 32 bits instead of bytes.
const BASIS = 0x811c9dc5
const PRIME = 0x01000193

/** A hash of the UTF-16 units of `text`. Unsigned, 32 bits. */
export function hashText(text: string): number {
  let hash = BASIS
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME)
  return hash >>> 0
}

/** One hash of several numbers, in their order; of each its low 32 bits. Unsigned, 32 bits. */
export function hashNumbers(numbers: readonly number[]): number {
  return numbers.reduce((hash, each) => Math.imul(hash ^ each, PRIME), BASIS) >>> 0
}

/** A hash of bytes, each bit of which depends on all of them. Unsigned, 32 bits. */
export function hashBytes(bytes: Uint8Array): number {
  let hash = BASIS
  for (const byte of bytes) hash = Math.imul(hash ^ byte, PRIME)
  // The finalizer of MurmurHash3 (Appleby; public domain).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
