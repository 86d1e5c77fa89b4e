/**
 * Counters that scale: each CPU counts for itself, and folds its part into the sum when the part
 * reaches the batch. (After the kernel's percpu_counter.)
 *
 *     sum ◀──fold, under the lock── part of CPU 0 │ part of CPU 1 │ …        |part| < batch
 *
 *     value    = sum + parts of all possible CPUs, with those of CPUs that have no thread
 *     estimate = a copy of the sum, off by less than batch × CPUs
 *
 * A part is written by its CPU, or by its reaper. Sum and part change in one section when a part is
 * folded. So a thread killed anywhere has counted each amount once, or not at all. It may have left
 * the estimate behind; the next owner of the lock copies the sum anew. Until then the estimate is
 * off by what was being folded, too.
 *
 * What a CPU had counted when it died stays in its part. The reaper folds it, unless another thread
 * has the lock. Then the part goes on to count, and the next thread of that CPU folds it.
 *
 * A rollback of the caller's section does not undo what was counted in it.
 *
 * No word wraps. A part has 32 bits: a sum that does not fit is folded, or refused by addLocal. The
 * sum has 64 bits. Numbers cease to be exact at 2^53, and the sum keeps that far away from it that
 * all parts have room: 2^31 for each possible CPU. So what the parts hold was never too much.
 *
 * Progress: add is wait-free, but for one call in `batch`, which takes the lock.
 * Cost: see "percpu" in docs/benchmarks.md.
 */
import { load32, loadF64, loadU32, store32, storeF64, type Memory } from '#mem'
import { checkInteger, checkNumber, checkRange, refused } from '../machine/check.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { PercpuCounterLayout } from './layouts.js'
import type { SharedObject } from './named.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

const { lock, low, high } = PercpuCounterLayout.words
const estimateIndex = PercpuCounterLayout.offsets.estimate / 8
const HIGH = 2 ** 32
/** No part is beyond it. */
const MAX_PART = 2 ** 31
/** The kernel has 32. Here a fold costs some hundred times an addition. */
const MIN_BATCH = 256
/** A part below it fits in 32 bits. */
export const MAX_BATCH = 2 ** 30

export function defaultBatch(cpus: number): number {
  return Math.max(MIN_BATCH, 2 * cpus)
}

/**
 * A counter of all CPUs: `machine.percpu.counter(name)`. Its value is an integer, and no further
 * from 0 than {@link PercpuCounter.maxValue}.
 */
export class PercpuCounter {
  static {
    showAs(this, ({ name, batch, estimate }) => ({ name, batch, estimate }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** A part below this stays with its CPU. */
  readonly batch: number
  readonly name: string
  readonly #memory: Memory
  readonly #layerLock: LayerLock
  readonly #object: SharedObject
  readonly #words: number
  readonly #own: number

  /** @internal `machine.percpu.counter` */
  constructor(name: string, object: SharedObject, layerLock: LayerLock, cpu: number) {
    this.name = name
    this.batch = loadU32(object.memory.u32, object.words + PercpuCounterLayout.words.batch)
    this.#memory = object.memory
    this.#layerLock = layerLock
    this.#object = object
    this.#words = object.words
    this.#own = object.parts[cpu] ?? 0
  }

  /**
   * Adds an integer, which may be negative.
   *
   * @throws ArgumentError unless the amount is an integer below 2^53, and the sum within
   *   {@link maxValue}. It is looked at when this CPU's part is folded into it: the parts have room
   *   beyond it. LockTimeoutError. Nothing was counted then.
   */
  add(amount: number): void {
    if (typeof amount !== 'number') checkInteger('amount', amount)
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    if ((part | 0) === part && part < this.batch && part > -this.batch) store32(i32, this.#own, part)
    else this.#fold(part, amount)
  }
  /**
   * Adds to this CPU's part, and never takes the lock. For amounts that are soon taken back: a part
   * beyond `batch` makes the estimate worse than {@link maxError} says.
   *
   * @throws ArgumentError unless the part stays an integer from -2^31 to 2^31 - 1.
   */
  addLocal(amount: number): void {
    checkInteger('amount', amount)
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    if ((part | 0) !== part)
      throw refused('amount', amount, "too much for this CPU's part: use add", { part })
    store32(i32, this.#own, part)
  }

  /** The sum without the CPUs' parts: off by at most {@link maxError}. Cost: one load. */
  get estimate(): number {
    return loadF64(this.#memory.f64, this.#words / 2 + estimateIndex)
  }
  /** As {@link estimate}, but never negative: for values that are not. */
  get estimatePositive(): number {
    return Math.max(0, this.estimate)
  }
  /** How far {@link estimate} may be off: batch × possible CPUs. */
  get maxError(): number {
    return this.batch * this.#object.parts.length
  }
  /**
   * How far the sum may be from 0: 2^53 - 1, without room for the parts of all possible CPUs, 2^31
   * each.
   */
  get maxValue(): number {
    return maxSum(this.#object)
  }

  /**
   * The value: exact if no CPU counts meanwhile.
   *
   * Cost: the lock, and a load for each possible CPU.
   * @throws LockTimeoutError.
   */
  sum(): number {
    return this.#locked(() => this.#exact())
  }
  /** As {@link sum}, but never negative: for values that are not. @throws LockTimeoutError. */
  sumPositive(): number {
    return Math.max(0, this.sum())
  }

  /**
   * Makes the value `value`. What other CPUs count meanwhile is added to it.
   *
   * @throws ArgumentError unless it is an integer within {@link maxValue}; LockTimeoutError.
   */
  set(value: number): void {
    checkInteger('value', value)
    this.#locked(() => this.#store(value - this.#parts()))
  }
  /**
   * Folds this CPU's part, so that the estimate has it.
   *
   * @throws ArgumentError; LockTimeoutError.
   */
  sync(): void {
    this.#fold(load32(this.#memory.i32, this.#own), 0)
  }

  /**
   * -1, 0 or 1: the value is less than `than`, equal, or more. Exact under the conditions of
   * {@link sum}, unless {@link addLocal} has made a part larger than the batch.
   *
   * Cost: one load if the estimate is far enough from `than`, else a {@link sum}.
   * @throws ArgumentError for NaN; LockTimeoutError.
   */
  compare(than: number): -1 | 0 | 1 {
    checkNumber('than', than)
    const difference = this.estimate - than
    const exact = Math.abs(difference) > this.maxError ? difference : this.sum() - than
    return exact === 0 ? 0 : exact < 0 ? -1 : 1
  }

  /**
   * Adds an integer, unless the value would then be beyond `limit`: above it for a positive amount,
   * below it for a negative one.
   *
   * Calls on other CPUs at the very same moment may not see each other. Together they may bring the
   * value beyond the limit, by less than 2 × {@link maxError}.
   *
   * Cost: as {@link add} if the value is far from the limit, else as {@link sum}.
   * @returns whether it was added.
   * @throws ArgumentError unless amount and sum are integers, as for {@link add}, or for a limit
   *   that is NaN; LockTimeoutError.
   */
  limitedAdd(limit: number, amount: number): boolean {
    checkInteger('amount', amount)
    checkNumber('limit', limit)
    if (amount === 0) return true
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    const isFar = amount > 0 ? this.estimate + this.maxError <= limit : this.estimate - this.maxError >= limit
    // Even if all parts grow to the batch, the value does not reach the limit.
    if (isFar && part < this.batch && part > -this.batch) {
      store32(i32, this.#own, part)
      return true
    }
    return this.#locked(() => {
      const after = this.#exact() + amount
      if (amount > 0 ? after > limit : after < limit) return false
      this.#store(this.#sum() + amount)
      return true
    })
  }

  #fold(part: number, amount: number): void {
    checkInteger('amount', amount)
    this.#locked(() => foldPart(this.#object, this.#layerLock, this.#own, part))
  }
  #locked<Result>(change: () => Result): Result {
    return this.#layerLock.locked(this.#words + lock, () => {
      // A thread that died while it folded may have left the estimate behind.
      if (this.estimate !== this.#sum()) copySum(this.#object, this.#sum())
      return change()
    })
  }
  #exact(): number {
    return this.#sum() + this.#parts()
  }
  #parts(): number {
    let total = 0
    for (const word of this.#object.parts) total += load32(this.#memory.i32, word)
    return total
  }
  #sum(): number {
    return sumAt(this.#object)
  }
  #store(value: number): void {
    storeSum(this.#object, this.#layerLock, value)
  }
}

/** Adds `part` to the sum, and makes the CPU's part at word `own` 0. The lock is held. */
export function foldPart(object: SharedObject, layerLock: LayerLock, own: number, part: number): void {
  const value = sumAt(object) + part
  layerLock.section((section) => {
    writeSum(object, section, value)
    // Mutant: percpu/fold-unjournaled.
    section.write32(own, 0)
  })
  copySum(object, value)
}

function storeSum(object: SharedObject, layerLock: LayerLock, value: number): void {
  layerLock.section((section) => writeSum(object, section, value))
  copySum(object, value)
}

/** Makes `value` the estimate. The lock is held. */
function copySum({ memory, words }: SharedObject, value: number): void {
  storeF64(memory.f64, words / 2 + estimateIndex, value)
}

function writeSum(
  object: SharedObject,
  section: { write32(word: number, value: number): void },
  value: number,
): void {
  const { words } = object
  const most = maxSum(object)
  // Mutant: percpu/sum-to-the-brim.
  checkRange('sum', value, -most, most)
  section.write32(words + high, Math.floor(value / HIGH))
  section.write32(words + low, value - Math.floor(value / HIGH) * HIGH)
}

function maxSum({ parts }: SharedObject): number {
  return Number.MAX_SAFE_INTEGER - parts.length * MAX_PART
}

function sumAt({ memory, words }: SharedObject): number {
  return load32(memory.i32, words + high) * HIGH + loadU32(memory.u32, words + low)
}

/** For the reaper, in the dead CPU's name: folds its part, unless another thread has the lock. */
export function foldDead(object: SharedObject, layerLock: LayerLock, cpu: number): void {
  const own = object.parts[cpu] ?? 0
  const part = load32(object.memory.i32, own)
  if (!layerLock.trySpin(object.words + lock)) return
  try {
    // A part that would bring the sum too far stays where it is.
    if (Math.abs(sumAt(object) + part) <= maxSum(object)) foldPart(object, layerLock, own, part)
  } finally {
    layerLock.unlock()
  }
}
