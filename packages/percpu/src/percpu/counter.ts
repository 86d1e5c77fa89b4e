/**
 * Counters that scale: each CPU counts for itself, and folds what it has into the sum when that is much. (After the kernel's
 * percpu_counter.)
 *
 *     sum ◀──fold, under the lock── part of CPU 0 │ part of CPU 1 │ …        |part| < batch
 *
 *     exact value = sum + parts of all possible CPUs, with or without a thread
 *     rough value = a copy of the sum: off by less than batch × CPUs (and by what a dead CPU was just folding, until it is cleaned up)
 *
 * Rules: a part is written by its CPU, or by its reaper. Sum and part change in one section of the layer lock when a part is folded, so
 * that a thread killed anywhere has counted each thing once, or not. What a dead CPU had counted stays in its part; its reaper folds
 * it, unless the lock is somebody else's at that moment: then it is counted all the same, and folded by the next thread of that number.
 *
 * Counting is no part of a section of the caller's: it stays when that is taken back.
 * Progress: add is wait-free but for one call in `batch`, which takes a lock. Values: integers, to 2^53.
 */
import { load32, loadF64, loadU32, store32, storeF64, type Memory } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import type { LayerLock } from '../sync/layer-lock.js'
import { PercpuCounterLayout } from './layouts.js'

const { lock, low, high } = PercpuCounterLayout.words
const estimateIndex = PercpuCounterLayout.offsets.estimate / 8
const HIGH = 2 ** 32
/** The least that a CPU keeps for itself. (The kernel has 32; here folding costs some hundred times an addition.) */
const MIN_BATCH = 256

/** What a CPU keeps for itself at most, unless told otherwise. */
export function defaultBatch(cpus: number): number {
  return Math.max(MIN_BATCH, 2 * cpus)
}

/** The words of a counter, as a thread or a reaper finds them. */
export interface SharedObject {
  readonly memory: Memory
  /** Word index of the PercpuCounterWords. */
  readonly words: number
  /** Word index of each CPU's part. */
  readonly parts: readonly number[]
}

export class PercpuCounter {
  /** How much a CPU keeps for itself: less than this. */
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

  /** Adds an integer, which may be negative. @throws LockTimeoutError, having counted nothing. */
  add(amount: number): void {
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    if ((part | 0) === part && part < this.batch && part > -this.batch) store32(i32, this.#own, part)
    else this.#fold(part, amount)
  }
  /** Adds to this CPU's part and never takes the lock: for what is soon taken off again. @throws ArgumentError beyond 2^31. */
  addLocal(amount: number): void {
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    if ((part | 0) !== part)
      throw new ArgumentError(`${amount} does not fit in this CPU's part of the counter: use add`, {
        amount,
        part,
      })
    store32(i32, this.#own, part)
  }

  /** The sum without the CPUs' own parts: one load. */
  get estimate(): number {
    return loadF64(this.#memory.f64, this.#words / 2 + estimateIndex)
  }
  /** As {@link estimate}, for what cannot be negative. */
  get estimatePositive(): number {
    return Math.max(0, this.estimate)
  }
  /** How far off {@link estimate} is, at most. */
  get maxError(): number {
    return this.batch * this.#object.parts.length
  }

  /** The value: exact once the CPUs have ended what they count. Takes the lock. */
  sum(): number {
    return this.#locked(() => this.#exact())
  }
  /** As {@link sum}, for what cannot be negative. */
  sumPositive(): number {
    return Math.max(0, this.sum())
  }

  /** Makes it `value`, while no other CPU counts. */
  set(value: number): void {
    checkInteger('value', value)
    this.#locked(() => this.#store(value - this.#parts()))
  }
  /** Folds this CPU's part, so that {@link estimate} has it. */
  sync(): void {
    this.#fold(load32(this.#memory.i32, this.#own), 0)
  }

  /**
   * -1, 0 or 1: whether the value is less than `than`, equal, or more. Exact unless {@link addLocal} has made a part larger than `batch`;
   * takes the lock only if it is near.
   */
  compare(than: number): -1 | 0 | 1 {
    checkNumber('than', than)
    const difference = this.estimate - than
    const exact = Math.abs(difference) > this.maxError ? difference : this.sum() - than
    return exact === 0 ? 0 : exact < 0 ? -1 : 1
  }

  /**
   * Adds `amount` unless the value would then be beyond `limit`: above it for a positive amount, below it for a negative one. Returns
   * whether it did. Takes the lock near the limit, and for large amounts. (Of callers at the very same moment, one far from the
   * limit may make it that the value is beyond it by less than `batch`.)
   */
  limitedAdd(limit: number, amount: number): boolean {
    checkInteger('amount', amount)
    checkNumber('limit', limit)
    if (amount === 0) return true
    const { i32 } = this.#memory
    const part = load32(i32, this.#own) + amount
    const isFar = amount > 0 ? this.estimate + this.maxError <= limit : this.estimate - this.maxError >= limit
    // All parts together cannot reach the limit from here.
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
    checkInteger('amount', part)
    this.#locked(() => foldPart(this.#object, this.#layerLock, this.#own, part))
  }
  #locked<Result>(change: () => Result): Result {
    return this.#layerLock.locked(this.#words + lock, () => {
      // One who died while folding may have left the copy behind.
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

/** Makes `part`, what a CPU has counted for itself, part of the sum. The lock is held. */
export function foldPart(object: SharedObject, layerLock: LayerLock, own: number, part: number): void {
  const value = sumAt(object) + part
  layerLock.section((section) => {
    writeSum(object, section, value)
    // Both, or neither. Mutant: percpu/fold-unjournaled.
    section.write32(own, 0)
  })
  copySum(object, value)
}

function storeSum(object: SharedObject, layerLock: LayerLock, value: number): void {
  layerLock.section((section) => writeSum(object, section, value))
  copySum(object, value)
}

/** The lock is held. */
function copySum({ memory, words }: SharedObject, value: number): void {
  storeF64(memory.f64, words / 2 + estimateIndex, value)
}

function writeSum(
  { words }: SharedObject,
  section: { write32(word: number, value: number): void },
  value: number,
): void {
  checkInteger('value', value)
  section.write32(words + high, Math.floor(value / HIGH))
  section.write32(words + low, value - Math.floor(value / HIGH) * HIGH)
}

function sumAt({ memory, words }: SharedObject): number {
  return load32(memory.i32, words + high) * HIGH + loadU32(memory.u32, words + low)
}

/** For the reaper, in the dead CPU's place: folds what it had counted, unless the counter is locked. */
export function foldDead(object: SharedObject, layerLock: LayerLock, cpu: number): void {
  const own = object.parts[cpu] ?? 0
  const part = load32(object.memory.i32, own)
  if (!layerLock.trySpin(object.words + lock)) return
  try {
    // Beyond what a sum can be it stays where it is.
    if (Number.isSafeInteger(sumAt(object) + part)) foldPart(object, layerLock, own, part)
  } finally {
    layerLock.unlock()
  }
}

function checkInteger(what: string, value: number): void {
  if (Number.isSafeInteger(value)) return
  throw new ArgumentError(`${what}: ${shown(value)} is not an integer between -2^53 and 2^53`, {
    [what]: value,
  })
}
function checkNumber(what: string, value: number): void {
  if (typeof value === 'number' && !Number.isNaN(value)) return
  throw new ArgumentError(`${what}: ${shown(value)} is not a number`, { [what]: value })
}
