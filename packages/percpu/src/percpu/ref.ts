/**
 * Reference counts that scale: while an object is in use, each CPU counts for itself; only when it is to go, they count together. (After
 * the kernel's percpu_ref.)
 *
 *     state   count × 8 │ dead │ merged │ atomic                 parts: references taken − given back on each CPU
 *
 *     per CPU   count = BIAS + 1         references = count − BIAS + parts      get, put: one plain increment
 *     atomic    count = BIAS + …         (the mode has changed; a grace period is under way)      one atomic addition
 *     merged    count = references       at 0 the object is released
 *
 * Rules: `state` changes only by read-modify-writes; `mode` is a plain copy of its flags. A part is written by its CPU, in the same
 * synchronous stretch in which it read mode 0. A change to atomic sets mode and flags, waits for a grace period (after which every CPU
 * reads the new mode, and its last plain increment happens before), and then moves all parts into the count and drops the bias by
 * one exchange: a thread killed before it has changed the mode only, and the next one, or the reaper, goes on. Until then BIAS keeps
 * the count from reaching 0. Changes are made under a mutex, one at a time.
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
import type { Mutex } from '../sync/mutex.js'
import type { WaitQueue } from '../sync/wait-queue.js'
import type { AsyncWaitOptions } from '../sync/waiting.js'
import { PercpuUseError } from './errors.js'
import { PercpuRefWords } from './layouts.js'

const fields = PercpuRefWords.words
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
}

export class PercpuRef {
  readonly name: string
  readonly #memory: Memory
  readonly #parts: RefParts
  readonly #own: number
  readonly #mode: number
  readonly #state: number

  /** @internal `machine.percpu.ref` */
  constructor(name: string, parts: RefParts) {
    this.name = name
    this.#memory = parts.memory
    this.#parts = parts
    this.#own = parts.parts[parts.cpu] ?? 0
    this.#mode = parts.words + fields.mode
    this.#state = parts.words + fields.state
  }

  /** Takes references; the caller has one already, or knows by other means that the object is there. */
  get(count = 1): void {
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) === 0) store32(i32, this.#own, load32(i32, this.#own) + count)
    // atomic: C, for a count that cannot be 0.
    else addAtomic32(i32, this.#state, count * ONE)
  }
  /** Takes a reference unless the object is released. */
  tryGet(): boolean {
    return this.#tryGet(0)
  }
  /** Takes a reference unless {@link kill} was called (as far as this thread can tell) or the object is released. */
  tryGetLive(): boolean {
    return this.#tryGet(DEAD)
  }

  /** Gives references back. @throws PercpuUseError if there were not so many, once they are counted together. */
  put(count = 1): void {
    const { i32 } = this.#memory
    if (load32(i32, this.#mode) === 0) {
      store32(i32, this.#own, load32(i32, this.#own) - count)
      return
    }
    // C(ref.state) gives up what the references protected; pairs with D in isZero: whoever finds 0 may destroy the object.
    // Mutant: percpu/ref-release-early.
    const after = addAtomic32(i32, this.#state, -count * ONE) - count * ONE
    if (after >> 3 < 0) {
      throw new PercpuUseError(`${this.name}: more references were given back than taken`, {
        count: after >> 3,
      })
    }
    if (after >> 3 === 0) this.#released()
  }

  /** Whether no reference is left; never before {@link kill} has ended. */
  get isZero(): boolean {
    // D(ref.state) pairs with C in put: the object is the caller's alone. Mutant: percpu/ref-release-early.
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
  async released(options?: AsyncWaitOptions): Promise<void> {
    const attempt = (): true | undefined => (this.isZero ? true : undefined)
    await this.#parts.queue.waitAsync({ isReady: () => this.isZero, attempt }, options)
  }

  /**
   * Drops the reference with which the object was made, and lets the CPUs count together. Resolves when every CPU knows it
   * ({@link tryGetLive} fails everywhere): after a grace period.
   *
   * @throws PercpuUseError if it was called before.
   */
  async kill(): Promise<void> {
    await this.#change(async () => {
      if (this.isDying) throw this.#misuse('is killed already')
      if (!this.isAtomic) {
        await this.#toAtomic(ATOMIC | DEAD)
        return
      }
      this.#setMode(DEAD | ATOMIC)
      await this.#parts.synchronize()
      this.#drop(this.#flags() | DEAD, -ONE)
    })
  }
  /** Lets the CPUs count together, after a grace period. */
  async switchToAtomic(): Promise<void> {
    await this.#change(async () => {
      if (!this.isAtomic) await this.#toAtomic(ATOMIC)
    })
  }
  /** Lets each CPU count for itself again. @throws PercpuUseError after {@link kill}. */
  async switchToPercpu(): Promise<void> {
    await this.#change(async () => {
      if (this.isDying) throw this.#misuse('is killed: reinit or resurrect it')
      if (this.isAtomic) await this.#toPercpu(0)
    })
  }
  /** Takes {@link kill} back, once no reference is left. @throws PercpuUseError while there is one. */
  async reinit(): Promise<void> {
    if (!this.isZero) throw this.#misuse('has references: resurrect it, or wait until it is released')
    await this.resurrect()
  }
  /** Takes {@link kill} back. @throws PercpuUseError if it was not killed. */
  async resurrect(): Promise<void> {
    await this.#change(async () => {
      if (!this.isDying) throw this.#misuse('is not killed')
      await this.#toPercpu(ONE)
    })
  }

  /** Finishes what a thread began that died. */
  async settle(): Promise<void> {
    await this.#change(() => Promise.resolve())
  }

  async #change(change: () => Promise<void>): Promise<void> {
    const guard = await this.#parts.mutex.lockAsync()
    try {
      const flags = this.#flags()
      if ((flags & (ATOMIC | MERGED)) === ATOMIC) await this.#toAtomic(flags)
      else this.#setMode(flags & (ATOMIC | DEAD))
      await change()
    } finally {
      guard.unlock()
    }
  }

  async #toAtomic(flags: number): Promise<void> {
    this.#setMode(flags & (ATOMIC | DEAD))
    // atomic: for those who look at the flags; users go by the mode, and by the grace period.
    orAtomic32(this.#memory.i32, this.#state, flags)
    await this.#parts.synchronize()
    // After it no CPU writes its part: all of them are read here.
    let parts = 0
    for (const word of this.#parts.parts) parts += load32(this.#memory.i32, word)
    this.#drop(flags | ATOMIC | MERGED, parts * ONE - BIAS - ((flags & DEAD) === 0 ? 0 : ONE))
  }

  /** The one exchange that changes the count and the flags. */
  #drop(flags: number, by: number): void {
    const { i32 } = this.#memory
    for (;;) {
      // atomic: E is the exchange.
      const before = loadAtomic32(i32, this.#state)
      const after = (before & ~FLAGS) + by + flags
      // E(ref.state) makes the parts one count; pairs with E in #drop: what was counted once is not counted again. Mutant:
      // percpu/ref-merge-twice.
      if (compareExchangeAtomic32(i32, this.#state, before, after) !== before) continue
      if (after >> 3 < 0)
        throw new PercpuUseError(`${this.name}: ${after >> 3} references after counting together`, {
          count: after >> 3,
        })
      if (after >> 3 === 0) this.#released()
      return
    }
  }

  async #toPercpu(by: number): Promise<void> {
    for (const word of this.#parts.parts) store32(this.#memory.i32, word, 0)
    // Every CPU finds its part 0 before it finds the mode 0.
    await this.#parts.synchronize()
    this.#drop(0, BIAS + by)
    this.#setMode(0)
  }

  #tryGet(refused: number): boolean {
    const { i32 } = this.#memory
    const mode = load32(i32, this.#mode)
    if ((mode & refused) !== 0) return false
    if (mode === 0) {
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
  #misuse(what: string): PercpuUseError {
    return new PercpuUseError(`${this.name} ${what}`)
  }
}

/** For the reaper: whether a thread began a change and did not end it. */
export function isUnsettled(memory: Memory, words: number): boolean {
  // atomic: a snapshot.
  return (loadAtomic32(memory.i32, words + fields.state) & (ATOMIC | MERGED)) === ATOMIC
}
