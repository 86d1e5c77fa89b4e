/** Tables, as those see them who make answers from them. */

/**
 * What a range says: a field for each column of data. All are null if a thread that changes ranges
 * has kept the number of a pair until that was gone.
 */
export interface Pair {
  readonly asn?: number | null
  readonly organisation?: string | null
  readonly [field: string]: string | number | null | undefined
}

/** What answers are made from. */
export interface LookupTable {
  /** What is said of an address in a gap: JSON. */
  readonly nothing: Buffer
  /**
   * Words of the range that was found last, most significant first: one for each end of an IPv4
   * range, four of an IPv6 range.
   */
  readonly bounds: Uint32Array
  /** The text of the pair that was read last, from `begin` to `end`: JSON. */
  readonly text: Uint8Array
  readonly begin: number
  readonly end: number
  /** The pair of an IPv4 address, or -1. */
  find4(word: number): number
  /** The pair of an IPv6 address, or -1. */
  find6(words: ArrayLike<number>): number
  /** Makes {@link text} that of a pair. */
  readPair(number: number): void
}

/** What answers to single addresses are made from. */
export interface PairTable extends LookupTable {
  /** What a pair says. */
  pair(number: number): Pair
  /** The same as JSON in UTF-8, each byte as a character. */
  pairCharacters(number: number): string
}

/** What is said of an address in a gap: JSON. `fields`: columns of data. */
export function nothingOf(fields: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(Object.fromEntries(fields.map((field) => [field, null]))))
}
