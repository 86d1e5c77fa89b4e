/** What a thread would do without shared memory: bisect typed arrays of its own. */
import type { TableMaps } from 'percpu-console'

const BIAS = 0x8000_0000 | 0

/**
 * Columns in the thread's own memory, searched by bisection. Words are biased, so that signed
 * comparison orders them.
 */
export class PrivateTable {
  readonly starts4: Int32Array
  readonly ends4: Int32Array
  readonly entries4: Int32Array
  readonly starts6: readonly Int32Array[]
  readonly ends6: readonly Int32Array[]
  readonly entries6: Int32Array

  /** A copy of the ranges of the table; entries are numbers of pairs. */
  constructor({ ipv4, ipv6 }: Pick<TableMaps, 'ipv4' | 'ipv6'>) {
    const rows4 = [...ipv4]
    const rows6 = [...ipv6]
    const words = [96n, 64n, 32n, 0n]
    const column = (shift: bigint, key: (row: (typeof rows6)[number]) => bigint) =>
      Int32Array.from(rows6, (row) => Number(BigInt.asIntN(32, key(row) >> shift)) ^ BIAS)
    this.starts4 = Int32Array.from(rows4, ({ from }) => from ^ BIAS)
    this.ends4 = Int32Array.from(rows4, ({ to }) => to ^ BIAS)
    this.entries4 = Int32Array.from(rows4, ({ value }) => value >>> 1)
    this.starts6 = words.map((shift) => column(shift, ({ from }) => from))
    this.ends6 = words.map((shift) => column(shift, ({ to }) => to))
    this.entries6 = Int32Array.from(rows6, ({ value }) => value >>> 1)
  }

  /** Words of the first and the last address of a row. */
  start4(row: number): number {
    return (this.starts4[row] as number) ^ BIAS
  }
  end4(row: number): number {
    return (this.ends4[row] as number) ^ BIAS
  }
  start6(row: number, word: number): number {
    return (this.starts6[word]?.[row] as number) ^ BIAS
  }
  end6(row: number, word: number): number {
    return (this.ends6[word]?.[row] as number) ^ BIAS
  }

  find4(word: number): number {
    const { starts4, ends4 } = this
    const key = word ^ BIAS
    let low = 0
    let high = starts4.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((starts4[middle] as number) <= key) low = middle + 1
      else high = middle
    }
    return low > 0 && (ends4[low - 1] as number) >= key ? low - 1 : -1
  }

  find6(w0: number, w1: number, w2: number, w3: number): number {
    const [s0, s1, s2, s3] = this.starts6 as [Int32Array, Int32Array, Int32Array, Int32Array]
    const [e0, e1, e2, e3] = this.ends6 as [Int32Array, Int32Array, Int32Array, Int32Array]
    const [k0, k1, k2, k3] = [w0 ^ BIAS, w1 ^ BIAS, w2 ^ BIAS, w3 ^ BIAS]
    let low = 0
    let high = s0.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isAtMost(s0, s1, s2, s3, middle, k0, k1, k2, k3)) low = middle + 1
      else high = middle
    }
    const row = low - 1
    if (row < 0) return -1
    const [a, b, c, d] = [e0[row] as number, e1[row] as number, e2[row] as number, e3[row] as number]
    const reaches = a !== k0 ? a > k0 : b !== k1 ? b > k1 : c !== k2 ? c > k2 : d >= k3
    return reaches ? row : -1
  }
}

function isAtMost(
  s0: Int32Array,
  s1: Int32Array,
  s2: Int32Array,
  s3: Int32Array,
  row: number,
  k0: number,
  k1: number,
  k2: number,
  k3: number,
): boolean {
  const a = s0[row] as number
  if (a !== k0) return a < k0
  const b = s1[row] as number
  if (b !== k1) return b < k1
  const c = s2[row] as number
  if (c !== k2) return c < k2
  return (s3[row] as number) <= k3
}
