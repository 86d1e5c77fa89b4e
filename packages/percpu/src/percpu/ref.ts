/**
 * Reference counts that scale. Each CPU counts for itself while an object is in use. When the
 * object is to go, the CPUs count together. (After the kernel's percpu_ref.)
 *
 *     state   count × 8 │ dead │ passed │ entered       parts: taken − given back, on each CPU
 *
 *     per CPU    count = BIAS + 1      references = count − BIAS + parts    one plain increment
 *     entering   count = BIAS + …      the same                             one atomic addition
 *     atomic     count = references    at 0 the object is released          one atomic addition
 *
 * The modes are those of rcu-sync.ts: fast is per CPU, slow is atomic. `state` changes only by
 * read-modify-writes. A part is written by its CPU, in the synchronous stretch in which it found
 * the fast mode. When the grace period has passed, one exchange adds all parts to the count, drops
 * the bias, and sets `passed`. Until then BIAS keeps the count from reaching 0.
 *
 * Changes of the mode are made under a mutex, one at a time. A thread killed in the middle of one
 * leaves it entering, and whoever comes next goes on: the reaper, the next one who changes the
 * mode, or one who waits for the release. A change that gives up is taken back.
 *
 * A dead CPU's references stay taken; its part is added with the others.
 * Progress: get and put wait-free. Range: less than 2^27 references.
 *
 * If more was given back than taken, the change that finds it is taken back, too. Then `missing`
 * says how much. Who waits for the release is told: it cannot come before that is made good.
 *
 * Why parts may wrap around: only their sum counts, modulo 2^32, and the number of references is
 * less than 2^27. More are refused while CPUs count together, and where many are taken at once. If
 * each CPU for itself has taken too many, the change that finds it is taken back: the object is
 * never released then.
 */
import { compareExchangeAtomic32, load32, loadAtomic32, store32, storeAtomic32, type Memory } from '#mem'
import { checkRange } from '../machine/check.js'
import type { Mutex } from '../sync/mutex.js'
import { ownerCpu } from '../sync/mutex-words.js'
import type { MutexGuard } from '../sync/mutex-guard.js'
import type { WaitQueue } from '../sync/wait-queue.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { ensureStack, SOME } from '../stack.js'
import { RefMisuseError } from './errors.js'
import { PercpuRefLayout } from './layouts.js'
import type { SharedObject } from './named.js'
import { reportRef, type RefReport } from './ref-report.js'
import { ENTERED, isEntering, PASSED, RcuSync, type RcuSyncParts } from './rcu-sync.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

const fields = PercpuRefLayout.words
const DEAD = 4
const FLAGS = 7
const ONE = 8
const BIAS = 2 ** 27 * ONE

/** What `state` is when the object is made: per CPU, one reference. */
export const INITIAL_STATE = BIAS + ONE

export interface RefParts extends RcuSyncParts {
  /** Word index of the PercpuRefLayout. */
  readonly words: number
  readonly parts: readonly number[]
  readonly cpu: number
  readonly mutex: Mutex
  readonly queue: WaitQueue
  readonly reportError: (error: unknown) => void
  /**
   * Addresses of locks that nobody asked for: released without a word when the CPU goes offline.
   */
  readonly background: Set<number>
}

/** A count of references whose counting costs what a plain addition does: docs/percpu.md. */
export class PercpuRef {
  static {
    showAs(this, ({ name, isAtomic, isDying }) => ({ name, isAtomic, isDying }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  readonly name: string
  readonly #memory: Memory
  readonly #parts: RefParts
  readonly #sync: RcuSync
  readonly #own: number
  readonly #state: number
  readonly #missing: number
  #isSettling = false

  /** @internal `machine.percpu.ref` */
  constructor(name: string, parts: RefParts) {
    this.name = name
    this.#memory = parts.memory
    this.#parts = parts
    this.#own = parts.parts[parts.cpu] ?? 0
    this.#state = parts.words + fields.state
    this.#missing = parts.words + fields.missing
    this.#sync = new RcuSync(parts, this.#state, parts.words + fields.mode)
  }

  /**
   * Takes references; the caller has one already, or knows by other means that the object is there.
   *
   * @throws RefMisuseError if the object is released: {@link tryGet} asks. Also if there were 2^27
   *   then, as far as can be told. ArgumentError unless `count` is a whole number from 1 to 2^27 -
   *   1. Nothing is changed then.
   */
  get(count = 1): void {
    if (count !== 1) this.#checkGet(count)
    const { i32 } = this.#memory
    if (this.#sync.isFast) store32(i32, this.#own, load32(i32, this.#own) + count)
    else if (!this.#tryAdd(count, 0)) throw this.#misuse('is released: no reference can be taken')
  }
  /** Takes a reference unless the object is released. @throws RefMisuseError if there are 2^27. */
  tryGet(): boolean {
    return this.#tryGet(0)
  }
  /**
   * Takes a reference unless {@link kill} was called (as far as this thread can tell) or the object
   * is released. @throws RefMisuseError if there are 2^27.
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
    if (this.#sync.isFast) {
      store32(i32, this.#own, load32(i32, this.#own) - count)
      return
    }
    for (;;) {
      // atomic: C is the exchange.
      const before = loadAtomic32(i32, this.#state)
      const after = before - count * ONE
      if (after >> 3 < 0)
        throw this.#misuse('has fewer references than were given back', { count: before >> 3 })
      // Who waits for the last one is told of it. Mutant: percpu/ref-put-too-deep.
      if (after >> 3 === 0) ensureStack(SOME)
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
    return this.#sync.isEntered
  }

  /** How many references there are, and which CPUs took them: for whoever looks for a leak. */
  report(): RefReport {
    return reportRef(this.#memory, this.#state, this.#parts.parts, BIAS / ONE)
  }

  /**
   * Resolves when no reference is left. {@link report} says who has taken those that are.
   *
   * @throws RefMisuseError when more references were given back than taken, as {@link kill} or
   *   another change has found. LockTimeoutError at the end of `timeout`; the reason of `signal`
   *   when it aborts.
   */
  async released(options?: WaitOptions): Promise<void> {
    // atomic: a snapshot.
    const missing = (): number => loadAtomic32(this.#memory.i32, this.#missing)
    const isReady = (): boolean => this.isZero || missing() !== 0 || (!this.#isSettling && this.#isUnsettled)
    const attempt = (): true | undefined => {
      if (this.isZero) return true
      // Mutant: percpu/ref-missing-unseen.
      if (missing() !== 0) throw this.#tooManyPuts(-missing())
      // Whoever changes the mode may be about to go, and nobody else would go on. Mutant:
      // percpu/ref-left-unsettled.
      if (this.#isUnsettled) this.#settleSoon()
      return undefined
    }
    await this.#parts.queue.waitAsync({ isReady, attempt }, options)
  }

  /**
   * Drops the reference with which the object was made, and lets the CPUs count together. Resolves
   * when every CPU knows it: {@link tryGetLive} fails everywhere. Cost: a grace period.
   *
   * @throws RefMisuseError if it was called before, or if more references were given back than
   *   taken: it can be killed once as many are taken. LockTimeoutError at the end of `timeout`
   *   while another thread changes the mode, and UnansweredError while CPUs are busy; the reason of
   *   `signal` when it aborts. Nothing is changed then. ArgumentError for other options.
   *   OfflineError: the others go on with the change.
   */
  async kill(options?: WaitOptions): Promise<void> {
    await this.#change(options, async (deadline) => {
      if (this.isDying) throw this.#misuse('is killed already')
      if (!this.isAtomic) await this.#toAtomic(deadline, ENTERED | DEAD)
      // All look at the flags already.
      else this.#exchange(this.#flags() | DEAD, -ONE)
    })
  }
  /**
   * Lets the CPUs count together. Cost: a grace period.
   *
   * @throws as {@link kill}, but not because it was killed.
   */
  async switchToAtomic(options?: WaitOptions): Promise<void> {
    await this.#change(options, async (deadline) => {
      if (!this.isAtomic) await this.#toAtomic(deadline, ENTERED)
    })
  }
  /**
   * Lets each CPU count for itself again. Cost: a grace period.
   *
   * @throws RefMisuseError after {@link kill}; else as {@link kill}.
   */
  async switchToPercpu(options?: WaitOptions): Promise<void> {
    await this.#change(options, async (deadline) => {
      if (this.isDying) throw this.#misuse('is killed: reinit or resurrect it')
      if (this.isAtomic) await this.#toPercpu(deadline)
    })
  }
  /**
   * Takes {@link kill} back, once no reference is left. Cost: a grace period.
   *
   * @throws RefMisuseError while there is a reference; else as {@link resurrect}.
   */
  async reinit(options?: WaitOptions): Promise<void> {
    if (!this.isZero) throw this.#misuse('has references: resurrect it, or wait until it is released')
    await this.resurrect(options)
  }
  /**
   * Takes {@link kill} back: there is the first reference again, at once. Resolves when each CPU
   * counts for itself again. Cost: a grace period.
   *
   * @throws RefMisuseError if it was not killed; LockTimeoutError as {@link kill}; UnansweredError
   *   at the end of `timeout`; the reason of `signal` when it aborts. During the grace period it is
   *   resurrected all the same, and the CPUs count together until {@link switchToPercpu}.
   */
  async resurrect(options?: WaitOptions): Promise<void> {
    await this.#change(options, async (deadline) => {
      if (!this.isDying) throw this.#misuse('is not killed')
      // Before the grace period, in which the others may give back theirs. Mutant:
      // percpu/ref-resurrected-late.
      this.#exchange(this.#flags() & ~DEAD, ONE)
      await this.#toPercpu(deadline)
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
      await this.#finishChange(new Deadline())
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

  async #change(
    options: WaitOptions | undefined,
    change: (deadline: Deadline) => Promise<void>,
  ): Promise<void> {
    checkWait(options)
    const deadline = new Deadline(options)
    const guard = await this.#parts.mutex.lockAsync(deadline.rest)
    try {
      await this.#finishChange(deadline)
      await change(deadline)
    } finally {
      guard.unlock()
    }
  }
  async #finishChange(deadline: Deadline): Promise<void> {
    // Mutant: percpu/ref-merge-twice.
    if (this.#isUnsettled) await this.#toAtomic(deadline, 0)
    else this.#sync.follow()
  }

  /** `flags`: as {@link RcuSync.enter}. */
  async #toAtomic(deadline: Deadline, flags: number): Promise<void> {
    await this.#sync.enter(deadline, flags)
    // No CPU writes its part any more.
    const parts = this.#sumOfParts()
    const found = this.#flags()
    try {
      // atomic: a snapshot; of more than 2^31 nothing can be told. Mutant: percpu/ref-wraps-parts.
      const count = (loadAtomic32(this.#memory.i32, this.#state) >> 3) - BIAS / ONE + parts
      if (count >= 2 ** 27) throw this.#tooMany()
      this.#exchange(found | PASSED, parts * ONE - BIAS - ((found & DEAD) === 0 ? 0 : ONE))
    } catch (error) {
      // Nobody has relied on it. Mutant: percpu/ref-killed-below-zero.
      this.#sync.leave(found & (ENTERED | DEAD))
      throw error
    }
  }

  /**
   * The one exchange that changes the count and the flags.
   *
   * @throws RefMisuseError if the count would be negative: nothing is changed.
   */
  #exchange(flags: number, by: number): void {
    const { i32 } = this.#memory
    for (;;) {
      // atomic: E is the exchange.
      const before = loadAtomic32(i32, this.#state)
      const after = (before & ~FLAGS) + by + flags
      if (after >> 3 < 0) throw this.#foundMissing(after >> 3)
      // E(ref.state) makes the parts one count; pairs with E in #exchange: what was counted once is
      // not counted again. Mutant: percpu/ref-merge-twice.
      if (compareExchangeAtomic32(i32, this.#state, before, after) !== before) continue
      // atomic: those who wait look again.
      if (loadAtomic32(i32, this.#missing) !== 0) storeAtomic32(i32, this.#missing, 0)
      if (after >> 3 === 0) this.#released()
      return
    }
  }
  /** Tells those who wait, on all threads. */
  #foundMissing(count: number): RefMisuseError {
    // atomic: what depends on it is decided by the next change.
    storeAtomic32(this.#memory.i32, this.#missing, -count)
    this.#released()
    return this.#tooManyPuts(count)
  }
  #tooManyPuts(count: number): RefMisuseError {
    return this.#misuse('had more references given back than taken', { count })
  }

  async #toPercpu(deadline: Deadline): Promise<void> {
    for (const word of this.#parts.parts) store32(this.#memory.i32, word, 0)
    // Every CPU finds its part 0 before it finds the fast mode. Mutant: percpu/ref-percpu-at-once.
    await this.#sync.synchronize(deadline)
    // As it is while it enters; from there the way back is free.
    this.#exchange(ENTERED, BIAS)
    this.#sync.leave()
  }

  #tryGet(refused: number): boolean {
    const { i32 } = this.#memory
    if (this.#sync.isFast) {
      store32(i32, this.#own, load32(i32, this.#own) + 1)
      return true
    }
    return this.#tryAdd(1, refused)
  }
  #tryAdd(count: number, refused: number): boolean {
    const { i32 } = this.#memory
    for (;;) {
      // atomic: as C, unless it is 0.
      const before = loadAtomic32(i32, this.#state)
      if (before >> 3 <= 0 || (before & refused) !== 0) return false
      // The bias may be in the count as well. Mutant: percpu/ref-wraps.
      if ((before >> 3) + count >= ((before & PASSED) === 0 ? 2 ** 28 : 2 ** 27)) throw this.#tooMany()
      // atomic: as C.
      if (compareExchangeAtomic32(i32, this.#state, before, before + count * ONE) === before) return true
    }
  }

  #released(): void {
    this.#parts.queue.announce(() => undefined, 'all')
  }
  #flags(): number {
    // atomic: a snapshot; changes are made under the mutex.
    return loadAtomic32(this.#memory.i32, this.#state) & FLAGS
  }
  #sumOfParts(): number {
    let sum = 0
    for (const word of this.#parts.parts) sum += load32(this.#memory.i32, word)
    return sum | 0
  }
  #checkGet(count: number): void {
    checkCount(count)
    // What few calls could bring beyond the range. It is seldom: the parts of others are looked at.
    if (count < 2 ** 16 || !this.#sync.isFast) return
    if (this.#sumOfParts() + count >= 2 ** 27) throw this.#tooMany()
  }
  #tooMany(): RefMisuseError {
    return this.#misuse('has 2^27 references or more, or would have them')
  }
  #misuse(what: string, details: object = {}): RefMisuseError {
    return new RefMisuseError(`${visible(this.name)} ${what}`, { ...details })
  }
}

function checkCount(count: number): void {
  checkRange('count', count, 1, 2 ** 27 - 1)
}

/** For the reaper: whether a thread began a change and did not end it. */
export function isUnsettled(memory: Memory, words: number): boolean {
  // atomic: a snapshot.
  return isEntering(loadAtomic32(memory.i32, words + fields.state))
}

/** Who counts with it, for a message; undefined if it was killed and no reference is left. */
export function useOfRef({ memory, words }: Pick<SharedObject, 'memory' | 'words'>): string | undefined {
  // atomic: as D.
  if (loadAtomic32(memory.i32, words + fields.state) >> 3 !== 0) return 'has references'
  // atomic: a snapshot. Somebody changes its mode, or brings it back.
  const owner = ownerCpu(loadAtomic32(memory.i32, words + fields['mutex.owner']))
  return owner === undefined ? undefined : `is being changed by CPU ${owner}`
}
