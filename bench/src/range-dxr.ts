/**
 * A private, read-only table of 32-bit ranges, as fast as one can be made: an index over the upper
 * 18 bits whose words hold the answer or lead to a short sorted tail. (Zec, Rizzo, Mikuc, "DXR",
 * CCR 2012.)
 */

/** A range's first key, its last one, and its value, at least 0. */
export type Row = readonly [from: number, to: number, value: number]

const SHIFT = 14
const NONE = -1

export class Dxr {
  /** The value of a block, or minus the number of its tail, minus 2. */
  readonly #index: Int32Array
  /** Where each tail begins; one more. */
  readonly #starts: Int32Array
  readonly #offsets: Uint16Array
  readonly #values: Int32Array

  /** `rows`: sorted. */
  constructor(rows: readonly Row[]) {
    const steps: (readonly [number, number])[] = [[0, NONE]]
    const add = (key: number, value: number): void => {
      if (steps.at(-1)?.[0] === key) steps.pop()
      steps.push([key, value])
    }
    for (const [from, to, value] of rows) {
      add(from, value)
      add(to + 1, NONE)
    }
    this.#index = new Int32Array(2 ** 18)
    const starts: number[] = []
    const offsets: number[] = []
    const values: number[] = []
    let step = 0
    for (let block = 0; block < 2 ** 18; block++) {
      const begin = block * 2 ** SHIFT
      while ((steps[step + 1]?.[0] ?? Infinity) <= begin) step++
      let last = step
      while ((steps[last + 1]?.[0] ?? Infinity) < begin + 2 ** SHIFT) last++
      if (last === step) {
        this.#index[block] = steps[step]?.[1] ?? NONE
        continue
      }
      this.#index[block] = -2 - starts.length
      starts.push(offsets.length)
      for (let each = step; each <= last; each++) {
        const [key, value] = steps[each] ?? [0, NONE]
        offsets.push(Math.max(0, key - begin))
        values.push(value)
      }
    }
    starts.push(offsets.length)
    this.#starts = Int32Array.from(starts)
    this.#offsets = Uint16Array.from(offsets)
    this.#values = Int32Array.from(values)
  }

  /** The value of a key, or -1. */
  lookup(key: number): number {
    const word = this.#index[key >>> SHIFT] as number
    if (word > -2) return word
    const tail = -2 - word
    const low = key & (2 ** SHIFT - 1)
    let step = this.#starts[tail] as number
    let count = (this.#starts[tail + 1] as number) - step
    while (count > 1) {
      const half = count >>> 1
      if ((this.#offsets[step + half] as number) <= low) step += half
      count -= half
    }
    return this.#values[step] as number
  }
}
