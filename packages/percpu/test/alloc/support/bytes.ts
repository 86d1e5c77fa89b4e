// Loaded late: a test may have put another `#mem` under the library before.
const { array, struct, u8 } = await import('percpu')

/** A struct of so many bytes, for caches whose objects are of no interest. */
export function bytes(size: number, align = 8) {
  return struct(`Bytes${size}`, { bytes: array(u8, size) }, { align })
}
