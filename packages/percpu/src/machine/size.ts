import { refused } from './check.js'

const factors: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

/**
 * Bytes of a size given as a number or as text such as `'512 MiB'` (units B, KiB, MiB, GiB).
 *
 * @throws ArgumentError for anything else, naming `what` it was given for.
 */
export function parseSize(size: number | string, what: string): number {
  if (typeof size === 'number') {
    if (Number.isSafeInteger(size) && size >= 0) return size
    throw refused(what, size, 'not a whole number of bytes')
  }
  const match = typeof size === 'string' ? /^\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)\s*$/.exec(size) : undefined
  const bytes = match ? Number(match[1]) * (factors[match[2] ?? ''] ?? NaN) : NaN
  if (Number.isSafeInteger(bytes)) return bytes
  throw refused(what, size, "not a size; write a number of bytes or text like '512 MiB' or '1 GiB'")
}
