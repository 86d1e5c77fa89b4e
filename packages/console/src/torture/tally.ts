/** Counts and failures in shared memory: they outlive the threads that add to them. */
import { addAtomic32, loadAtomic32, type Memory } from 'percpu/mem'
import { COUNTERS, FAILURES, State, STEPS, type Counter, type Failure } from './layout.js'

const { words } = State
export type Histogram = 'readerPipe' | 'readerBatch' | 'circulation'

export class Tally {
  readonly #memory: Memory
  readonly #state: number

  /** `state`: word index of the State. */
  constructor(memory: Memory, state: number) {
    this.#memory = memory
    this.#state = state
  }

  add(counter: Counter, by = 1): void {
    this.#add(words.counts + COUNTERS.indexOf(counter), by)
  }
  count(counter: Counter): number {
    return this.#load(words.counts + COUNTERS.indexOf(counter))
  }
  get counts(): Record<Counter, number> {
    return Object.fromEntries(COUNTERS.map((name) => [name, this.count(name)])) as Record<Counter, number>
  }

  fail(failure: Failure): void {
    this.#add(words.failures + FAILURES.indexOf(failure), 1)
  }
  failed(failure: Failure): number {
    return this.#load(words.failures + FAILURES.indexOf(failure))
  }
  get hasFailed(): boolean {
    return FAILURES.some((failure) => this.failed(failure) > 0)
  }

  addTo(histogram: Histogram, step: number, by = 1): void {
    this.#add(words[histogram] + Math.min(step, STEPS - 1), by)
  }
  histogram(histogram: Histogram): number[] {
    return Array.from({ length: STEPS }, (_, step) => this.#load(words[histogram] + step))
  }

  #add(word: number, by: number): void {
    // atomic: a count; orders nothing.
    addAtomic32(this.#memory.i32, this.#state + word, by)
  }
  #load(word: number): number {
    // atomic: a count; whoever needs an exact one waits for those who add.
    return loadAtomic32(this.#memory.i32, this.#state + word)
  }
}

/**
 * The counts of one reader, kept aside: an atomic operation in each section would order more than
 * the section itself does. What a thread has not handed over when it is killed is lost.
 */
export class ReaderTally {
  readonly pipe = new Array<number>(STEPS).fill(0)
  readonly batch = new Array<number>(STEPS).fill(0)
  reads = 0
  readonly #tally: Tally

  constructor(tally: Tally) {
    this.#tally = tally
  }

  flush(): void {
    this.#tally.add('reads', this.reads)
    this.reads = 0
    for (let step = 0; step < STEPS; step++) {
      const [pipe = 0, batch = 0] = [this.pipe[step], this.batch[step]]
      if (pipe > 0) this.#tally.addTo('readerPipe', step, pipe)
      if (batch > 0) this.#tally.addTo('readerBatch', step, batch)
      this.pipe[step] = 0
      this.batch[step] = 0
    }
  }
}
