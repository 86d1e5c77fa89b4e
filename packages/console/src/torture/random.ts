/** Reproducible choices: the linear congruential generator of the kernel's torture tests. */

const MULTIPLIER = 39_916_801
const INCREMENT = 479_001_701

export class Random {
  #state: number

  /** The same choices for the same seed and stream; each thread has a stream of its own. */
  constructor(seed: number, stream: number) {
    this.#state = seed ^ Math.imul(stream + 1, 0x9e37_79b1)
    for (let i = 0; i < 4; i++) this.next()
  }

  /** 0 to 2^32 - 1. */
  next(): number {
    const state = (Math.imul(this.#state, MULTIPLIER) + INCREMENT) | 0
    this.#state = state
    // The low bits of the state have short periods.
    return ((state << 16) | (state >>> 16)) >>> 0
  }
  /** 0 to `limit - 1`. */
  below(limit: number): number {
    return this.next() % limit
  }
  /** True once in `times`, on average. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }
  pick<T>(choices: readonly T[]): T | undefined {
    return choices[this.below(choices.length)]
  }
}
