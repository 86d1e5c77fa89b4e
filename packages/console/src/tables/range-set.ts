/** The keys of a number of ranges, which may overlap. */
import type { KeyCodec, KeyRange } from './keys.js'

export class RangeSet {
  readonly #compare: KeyCodec['compare']
  /** In order; none overlaps another one. */
  readonly #ranges: KeyRange[] = []

  constructor({ compare }: KeyCodec) {
    this.#compare = compare
  }

  /** Whether a range has a key in common with them. Cost: a binary search. */
  meets({ from, to }: KeyRange): boolean {
    const next = this.#ranges[this.#endingFrom(from)]
    return next !== undefined && this.#compare(next.from, to) <= 0
  }

  add({ from, to }: KeyRange): void {
    const ranges = this.#ranges
    const first = this.#endingFrom(from)
    let end = first
    let [least, greatest] = [from, to]
    for (let range = ranges[end]; range && this.#compare(range.from, to) <= 0; range = ranges[++end]) {
      if (this.#compare(range.from, least) < 0) least = range.from
      if (this.#compare(range.to, greatest) > 0) greatest = range.to
    }
    ranges.splice(first, end - first, { from: least, to: greatest })
  }

  /** Place of the first one that does not end before a key. */
  #endingFrom(key: KeyRange['from']): number {
    let [low, high] = [0, this.#ranges.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare((this.#ranges[middle] as KeyRange).to, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
