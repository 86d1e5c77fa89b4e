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
