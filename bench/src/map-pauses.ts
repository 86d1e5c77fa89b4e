/** How long single calls take, and private work in turns with them, for map-growth.ts. */

/** What a thread has measured, in microseconds. */
export interface Pauses {
  readonly longest: number
  /** 999 of 1000 were shorter. */
  readonly most: number
}
export interface Measured {
  readonly calls: Pauses
  readonly work: Pauses
}

/** Width of a bucket, in milliseconds, and their number: the last one has what is longer. */
const WIDTH = 1e-4
const BUCKETS = 100_000

class Times {
  readonly #buckets = new Uint32Array(BUCKETS)
  #longest = 0
  #count = 0
  total = 0

  add(time: number): void {
    const bucket = Math.min(BUCKETS - 1, Math.floor(time / WIDTH))
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1
    this.#count++
    this.total += time
    if (time > this.#longest) this.#longest = time
  }

  result(): Pauses {
    let left = this.#count / 1000
    let bucket = BUCKETS - 1
    for (; bucket > 0; bucket--) {
      left -= this.#buckets[bucket] ?? 0
      if (left < 0) break
    }
    return { longest: this.#longest * 1e3, most: (bucket + 1) * WIDTH * 1e3 }
  }
}

/**
 * Times calls, and after each one private work that takes as much time in sum: so whatever stops
 * the thread from outside is met by both alike.
 */
export class PauseClock {
  readonly #calls = new Times()
  readonly #work = new Times()
  readonly #words = new Int32Array(2 ** 22)
  #steps = 8
  #at = 1

  time(call: () => unknown): void {
    const begun = performance.now()
    call()
    const between = performance.now()
    this.#compute()
    const end = performance.now()
    this.#calls.add(between - begun)
    this.#work.add(end - between)
    if (this.#work.total < this.#calls.total) this.#steps = Math.min(1024, this.#steps + 1)
    else if (this.#steps > 0) this.#steps--
  }

  /** Reads and writes words that lie far apart. */
  #compute(): void {
    const words = this.#words
    for (let i = 0; i < this.#steps; i++) {
      this.#at = (Math.imul(this.#at, 1664525) + 1013904223) | 0
      const word = this.#at >>> 10
      words[word] = (words[word] ?? 0) + 1
    }
  }

  result(): Measured {
    return { calls: this.#calls.result(), work: this.#work.result() }
  }
}
