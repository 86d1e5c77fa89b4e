/**
 * Reference counts that scale. Each CPU counts for itself while an object is in use. When the
 * object is to go, the CPUs count together. (After the kernel's percpu_ref.)
 *
 *     state     count × 8 │ dead │ merged │ atomic
 *     parts     references taken − given back, on each CPU
 *
 *     per CPU   count = BIAS + 1      references = count − BIAS + parts; one plain increment
 *     atomic    count = BIAS + …      a grace period is under way; one atomic addition
 *     merged    count = references    at 0 the object is released
 *
 * Rules: `state` changes only by read-modify-writes. `mode`, a plain copy of its atomic flag,
 * follows it. A part is written by its CPU, in the same synchronous stretch in which it read mode
 * 0.
 *
 * A change to atomic sets flags and mode, and waits for a grace period. After that every CPU reads
 * the new mode, and its last plain increment happens before. Then one exchange moves all parts into
 * the count and drops the bias. Until then BIAS keeps the count from reaching 0. Changes are made
 * under a mutex, one at a time. A thread killed before the exchange has changed the mode only.
 * Whoever comes next goes on: the reaper, the next thread that changes something, or one that waits
 * for the release.
 *
 * A dead CPU's references stay taken; its part is added with the others.
 * Progress: get and put wait-free. Range: less than 2^27 references.
 */
import {
  addAtomic32,
  compareExchangeAtomic32,
  load32,
  loadAtomic32,
  orAtomic32,
  store32,
  type Memory,
} from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import type { Mutex } from '../sync/mutex.js'
import type { MutexGuard } from '../sync/mutex-guard.js'
import type { WaitQueue } from '../sync/wait-queue.js'
import type { WaitOptions } from '../machine/wait-options.js'
import { RefMisuseError } from './errors.js'
import { PercpuRefLayout } from './layouts.js'

const fields = PercpuRefLayout.words
const ATOMIC = 1
const MERGED = 2
const DEAD = 4
const FLAGS = 7
const ONE = 8
const BIAS = 2 ** 27 * ONE

/** What `state` is when the object is made: per CPU, one reference. */
export const INITIAL_STATE = BIAS + ONE

export interface RefParts {
  readonly memory: Memory
  /** Word index of the PercpuRefWords. */
  readonly words: number
  readonly parts: readonly number[]
  readonly cpu: number
  readonly mutex: Mutex
  readonly queue: WaitQueue
  readonly synchronize: () => Promise<void>
  readonly reportError: (error: unknown) => void
  /**
   * Addresses of locks that nobody asked for: released without a word when the CPU goes offline.
   */
  readonly background: Set<number>
}

export class PercpuRef {
  readonly name: string
  readonly #memory: Memory
  readonly #parts: RefParts
  readonly #own: number
  readonly #mode: number
  readonly #state: number
  #isSettling = false

  /** @internal `machine.percpu.ref` */
  constructor(name: string, parts: RefParts) {
    this.name = name
    this.#memory = parts.memory
    this.#parts = parts
    this.#own = parts.parts[parts.cpu] ?? 0
    this.#mode = parts.words + fields.mode
    this.#state = parts.words + fields.state
  }

  /**
   * Takes references; the caller has one already, or knows by other means that the object is there.
   *
   * @throws ArgumentError unless `count` is a whole number from 1 to 2^27 - 1.
   */
  get(count = 1): void {
    if (count !== 1) checkCount(count)
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) === 0) store32(i32, this.#own, load32(i32, this.#own) + count)
    // atomic: C, for a count that cannot be 0.
    else addAtomic32(i32, this.#state, count * ONE)
  }
  /** Takes a reference unless the object is released. */
  tryGet(): boolean {
    return this.#tryGet(0)
  }
  /**
   * Takes a reference unless {@link kill} was called (as far as this thread can tell) or the object
   * is released.
   */
  tryGetLive(): boolean {
    return this.#tryGet(DEAD)
  }

  /**
   * Gives references back.
   *
   * @throws RefMisuseError if there are not so many, once they are counted together; ArgumentError
   *   unless `count` is a whole number from 1 to 2^27 - 1. Nothing is changed then.
   */
  put(count = 1): void {
    if (count !== 1) checkCount(count)
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) === 0) {
      store32(i32, this.#own, load32(i32, this.#own) - count)
      return
    }
    for (;;) {
      // atomic: C is the exchange.
      const before = loadAtomic32(i32, this.#state)
      const after = before - count * ONE
      if (after >> 3 < 0)
        throw this.#misuse('has fewer references than were given back', { count: before >> 3 })
      // C(ref.state) gives up what the references protected; pairs with D in isZero: whoever finds
      // 0 may destroy the object. Mutant: percpu/ref-release-early.
      if (compareExchangeAtomic32(i32, this.#state, before, after) !== before) continue
      if (after >> 3 === 0) this.#released()
      return
    }
  }

  /** Whether no reference is left; never before {@link kill} has ended. */
  get isZero(): boolean {
    // D(ref.state) pairs with C in put: the object is the caller's alone. Mutant:
    // percpu/ref-release-early.
    return loadAtomic32(this.#memory.i32, this.#state) >> 3 === 0
  }
  /** Whether {@link kill} was called. */
  get isDying(): boolean {
    return (this.#flags() & DEAD) !== 0
  }
  /** Whether all CPUs count together. */
  get isAtomic(): boolean {
    return (this.#flags() & ATOMIC) !== 0
  }

  /** Resolves when no reference is left. */
  async released(options?: WaitOptions): Promise<void> {
    const isReady = (): boolean => this.isZero || (!this.#isSettling && this.#isUnsettled)
    const attempt = (): true | undefined => {
      if (this.isZero) return true
      // Whoever changes the mode may be about to go, and nobody else would go on. Mutant:
      // percpu/ref-left-unsettled.
      if (this.#isUnsettled) this.#settleSoon()
      return undefined
    }
    await this.#parts.queue.waitAsync({ isReady, attempt }, options)
  }

  /**
   * Drops the reference with which the object was made, and lets the CPUs count together. Resolves
   * when every CPU knows it ({@link tryGetLive} fails everywhere): after a grace period.
   *
   * @throws RefMisuseError if it was called before.
   */
  async kill(): Promise<void> {
    await this.#change(async () => {
      if (this.isDying) throw this.#misuse('is killed already')
      if (!this.isAtomic) await this.#toAtomic(ATOMIC | DEAD)
      // All look at the flags already.
      else this.#exchange(this.#flags() | DEAD, -ONE)
    })
  }
  /** Lets the CPUs count together, after a grace period. */
  async switchToAtomic(): Promise<void> {
    await this.#change(async () => {
      if (!this.isAtomic) await this.#toAtomic(ATOMIC)
    })
  }
  /** Lets each CPU count for itself again. @throws RefMisuseError after {@link kill}. */
  async switchToPercpu(): Promise<void> {
    await this.#change(async () => {
      if (this.isDying) throw this.#misuse('is killed: reinit or resurrect it')
      if (this.isAtomic) await this.#toPercpu()
    })
  }
  /**
   * Takes {@link kill} back, once no reference is left.
   *
   * @throws RefMisuseError while there is one.
   */
  async reinit(): Promise<void> {
    if (!this.isZero) throw this.#misuse('has references: resurrect it, or wait until it is released')
    await this.resurrect()
  }
  /**
   * Takes {@link kill} back: there is the first reference again, at once.
   *
   * @throws RefMisuseError if it was not killed.
   */
  async resurrect(): Promise<void> {
    await this.#change(async () => {
      if (!this.isDying) throw this.#misuse('is not killed')
      // Before the grace period, in which the others may give back theirs. Mutant:
      // percpu/ref-resurrected-late.
      this.#exchange(this.#flags() & ~DEAD, ONE)
      await this.#toPercpu()
    })
  }

  /**
   * Finishes in the background what a thread began that died; whoever changes something at that
   * moment does so first.
   */
  async settle(): Promise<void> {
    const { mutex, background } = this.#parts
    const guard = mutex.tryLock()
    if (!guard) return
    background.add(mutex.address)
    await this.#finish(guard).finally(() => background.delete(mutex.address))
  }
  async #finish(guard: MutexGuard): Promise<void> {
    try {
      await this.#finishChange()
    } finally {
      guard.unlock()
    }
  }

  get #isUnsettled(): boolean {
    return isUnsettled(this.#memory, this.#parts.words)
  }
  #settleSoon(): void {
    const { mutex, background } = this.#parts
    this.#isSettling = true
    background.add(mutex.address)
    void mutex
      .lockAsync()
      .then((guard) => this.#finish(guard))
      .catch(this.#parts.reportError)
      .finally(() => {
        this.#isSettling = false
        background.delete(mutex.address)
      })
  }

  async #change(change: () => Promise<void>): Promise<void> {
    const guard = await this.#parts.mutex.lockAsync()
    try {
      await this.#finishChange()
      await change()
    } finally {
      guard.unlock()
    }
  }
  async #finishChange(): Promise<void> {
    const flags = this.#flags()
    if ((flags & (ATOMIC | MERGED)) === ATOMIC) await this.#toAtomic(flags)
    else this.#setMode(flags & ATOMIC)
  }

  async #toAtomic(flags: number): Promise<void> {
    // atomic: from here on somebody goes on with the change, whoever dies; users go by the mode,
    // and by the grace period.
    orAtomic32(this.#memory.i32, this.#state, flags)
    this.#setMode(ATOMIC)
    // After it no CPU writes its part. Mutant: percpu/ref-merge-at-once.
    await this.#parts.synchronize()
    let parts = 0
    for (const word of this.#parts.parts) parts += load32(this.#memory.i32, word)
    this.#exchange(flags | ATOMIC | MERGED, parts * ONE - BIAS - ((flags & DEAD) === 0 ? 0 : ONE))
  }

  /** The one exchange that changes the count and the flags. */
  #exchange(flags: number, by: number): void {
    const { i32 } = this.#memory
    for (;;) {
      // atomic: E is the exchange.
      const before = loadAtomic32(i32, this.#state)
      const after = (before & ~FLAGS) + by + flags
      // E(ref.state) makes the parts one count; pairs with E in #exchange: what was counted once is
      // not counted again. Mutant: percpu/ref-merge-twice.
      if (compareExchangeAtomic32(i32, this.#state, before, after) !== before) continue
      if (after >> 3 < 0)
        throw this.#misuse('had more references given back than taken', { count: after >> 3 })
      if (after >> 3 === 0) this.#released()
      return
    }
  }

  async #toPercpu(): Promise<void> {
    for (const word of this.#parts.parts) store32(this.#memory.i32, word, 0)
    // Every CPU finds its part 0 before it finds the mode 0. Mutant: percpu/ref-percpu-at-once.
    await this.#parts.synchronize()
    this.#exchange(0, BIAS)
    this.#setMode(0)
  }

  #tryGet(refused: number): boolean {
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) === 0) {
      store32(i32, this.#own, load32(i32, this.#own) + 1)
      return true
    }
    for (;;) {
      // atomic: as C, unless it is 0.
      const before = loadAtomic32(i32, this.#state)
      if (before >> 3 <= 0 || (before & refused) !== 0) return false
      // atomic: as C.
      if (compareExchangeAtomic32(i32, this.#state, before, before + ONE) === before) return true
    }
  }

  #released(): void {
    this.#parts.queue.announce(() => undefined, 'all')
  }
  #setMode(mode: number): void {
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) !== mode) store32(i32, this.#mode, mode)
  }
  #flags(): number {
    // atomic: a snapshot; changes are made under the mutex.
    return loadAtomic32(this.#memory.i32, this.#state) & FLAGS
  }
  #misuse(what: string, details: object = {}): RefMisuseError {
    return new RefMisuseError(`${this.name} ${what}`, { ...details })
  }
}

function checkCount(count: number): void {
  if (Number.isInteger(count) && count >= 1 && count < 2 ** 27) return
  throw new ArgumentError(`count: ${shown(count)} is not a whole number from 1 to ${2 ** 27 - 1}`, { count })
}

/** For the reaper: whether a thread began a change and did not end it. */
export function isUnsettled(memory: Memory, words: number): boolean {
  // atomic: a snapshot.
  return (loadAtomic32(memory.i32, words + fields.state) & (ATOMIC | MERGED)) === ATOMIC
}
