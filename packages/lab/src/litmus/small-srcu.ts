/**
 * A small SRCU, with which smp_memb is explored over plain data, and tests of the judge that need
 * an implementation to break. It is right and small, not fast.
 *
 *     word 0            index: new readers count on rank index & 1
 *     word 1            lock: 1 while an updater is in a grace period
 *     word 2            grace periods: two read-modify-writes for each
 *     word 3 + 4c …     of CPU c: entries on rank 0, on rank 1, exits from rank 0, from rank 1
 *
 * A reader counts its entry on the current rank, and its exit on the same rank. Both counts are on
 * its own CPU's words, and only grow. So a rank has no readers if the sum of its exits, taken
 * first, equals the sum of its entries.
 *
 * A grace period waits until the rank that is not current has no readers. Such readers have loaded
 * the index before an earlier flip, and have counted late. The grace period makes this rank the
 * current one, and waits until the other one has no readers. This is the kernel's algorithm, with
 * two sums instead of a tree.
 *
 * Before it waits, a grace period touches each count of entries with a read-modify-write. So plain
 * data, too, is ordered as the axioms say. A section that was not counted begins after the grace
 * period began in happens-before, not only in the order of atomics.
 */
import type { Memory } from 'percpu/mem'
import type { MemFunctions } from './implementation.js'

/** Words of shared memory, all zero, and the means to use them. */
export interface SmallSrcuContext {
  readonly mem: MemFunctions
  readonly memory: Memory
  /** Index of the first of {@link SmallSrcu.words}. */
  readonly base: number
  readonly cpus: number
}

const INDEX = 0
const LOCK = 1
const GRACE_PERIODS = 2
const COUNTS = 3
const PER_CPU = 4
const EXITS = 2

/** As one CPU uses it. */
export class SmallSrcu {
  readonly #mem: MemFunctions
  readonly #context: SmallSrcuContext
  readonly #own: number

  /** The number of words that it needs. */
  static words(cpus: number): number {
    return COUNTS + PER_CPU * cpus
  }

  constructor(context: SmallSrcuContext, cpu: number) {
    this.#mem = context.mem
    this.#context = context
    this.#own = COUNTS + cpu * PER_CPU
  }

  readLock(): number {
    const rank = this.#load(INDEX) & 1
    this.#add(this.#own + rank, 1)
    return rank
  }

  readUnlock(rank: number): void {
    this.#add(this.#own + EXITS + rank, 1)
  }

  synchronize(): void {
    this.#add(GRACE_PERIODS, 1)
    this.#acquire()
    const index = this.#load(INDEX)
    this.#drain(1 - (index & 1))
    this.#mem.storeAtomic32(this.#context.memory.i32, this.#context.base + INDEX, index + 1)
    this.#drain(index & 1)
    this.#mem.storeAtomic32(this.#context.memory.i32, this.#context.base + LOCK, 0)
    this.#add(GRACE_PERIODS, 1)
  }

  /** Waits until there are no readers on `rank`. */
  #drain(rank: number): void {
    // The additions of sections that enter later read from this one. A load would leave no trace
    // for them.
    for (let cpu = 0; cpu < this.#context.cpus; cpu++) this.#add(COUNTS + cpu * PER_CPU + rank, 0)
    this.#mem.awaitUntil(() => this.#sum(EXITS + rank) === this.#sum(rank))
  }

  #sum(count: number): number {
    let sum = 0
    for (let cpu = 0; cpu < this.#context.cpus; cpu++) sum += this.#load(COUNTS + cpu * PER_CPU + count)
    return sum | 0
  }

  #acquire(): void {
    const { compareExchangeAtomic32, awaitUntil } = this.#mem
    const { memory, base } = this.#context
    while (compareExchangeAtomic32(memory.i32, base + LOCK, 0, 1) !== 0)
      awaitUntil(() => this.#load(LOCK) === 0)
  }

  #load(word: number): number {
    return this.#mem.loadAtomic32(this.#context.memory.i32, this.#context.base + word)
  }
  #add(word: number, amount: number): number {
    return this.#mem.addAtomic32(this.#context.memory.i32, this.#context.base + word, amount)
  }
}
