/**
 * The mutex as a thread holds it: fast paths, and turns, one for each time that this thread has it.
 * The protocol on the shared words, with its guarantees, is in mutex-words.ts.
 *
 * Cost: lock and unlock are one compare-and-exchange each while nobody waits, and a few plain
 * stores; see "sync" in docs/benchmarks.md. A wait costs the wake-up, tens of µs.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { checkFunction } from '../machine/check.js'
import { cpuOf, incarnationOf } from '../machine/token.js'
import { ensureStack, FEW, MANY } from '../stack.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { LockTimeoutError, NotOwnerError, SelfDeadlockError } from './errors.js'
import { KIND_MUTEX, ListedLock } from './held-locks.js'
import { MutexGuard } from './mutex-guard.js'
import { MutexWaiters } from './mutex-waiters.js'
import { OWNER_DIED, ownerToken } from './mutex-words.js'
import { runSection, settled, type Section, type Sections } from './section.js'
import type { SyncState } from './state.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'
import { visible } from '../shown.js'

// Copied out of its module for the compiler, which checks an import at each use.
const { compareExchangeAtomic32 } = mem

/** For seqlocks. */
interface MutexHooks {
  readonly beforeSection: () => void
  readonly beforeRelease: () => void
}

/**
 * Mutual exclusion between CPUs, and between tasks of one thread. A mutex survives the death of its
 * owner: the next owner gets it, and is told.
 */
export class Mutex {
  static {
    showAs(this, ({ name, address, isHeldHere }) => ({ name, address, isHeldHere }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** Byte address of its MutexLayout. */
  readonly address: number
  /** For messages. */
  readonly name: string
  readonly #state: SyncState
  readonly #memory: Memory
  readonly #token: number
  readonly #sections: Sections
  readonly #word: number
  readonly #listed: ListedLock
  readonly #waiters: MutexWaiters
  readonly #hooks: MutexHooks | undefined
  #isHeld = false
  /** Unlocked inside a section, and released at its end. */
  #isDeferred = false
  /** Taken or used by a section that is open. */
  #isInSection = false
  #predecessorDied = false
  /** Counts the turns of this thread, so that an old guard cannot release a later turn. */
  #turns = 0
  /** The present turn. */
  #turn = 0

  /** @internal Made by Locks. `kind`: see held-locks.ts. */
  constructor(state: SyncState, word: number, name: string, kind = KIND_MUTEX, hooks?: MutexHooks) {
    this.#state = state
    this.#memory = state.memory
    this.#token = state.token
    this.#sections = state.sections
    this.#word = word
    this.#listed = new ListedLock(state.heldLocks, word, kind, this)
    this.#waiters = new MutexWaiters(state, word, () => this.#tryTake())
    this.#hooks = hooks
    this.address = word * 4
    this.name = name
  }

  /**
   * Locks it, asleep until it is free. While asleep the CPU is idle and answers its doorbell. So
   * use nothing afterwards that was read before under the protection of a grace period.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   SelfDeadlockError if this CPU has the mutex locked; TooManyLocksError; UnsupportedError where
   *   a thread must not block; ArgumentError for other options; OfflineError.
   */
  lock(options?: WaitOptions): MutexGuard {
    this.#state.waiting.assertMayBlock()
    if (this.#isHeld) return this.#relock()
    if (options !== undefined) checkWait(options)
    // Made first: once the mutex is taken nothing may throw.
    const guard = new MutexGuard(this, this.#turns + 1, false)
    this.#listed.enter()
    // atomic: A, for a mutex that nobody holds or waits for.
    if (compareExchangeAtomic32(this.#memory.i32, this.#word, 0, this.#token) === 0) {
      // What beginTurn does, written out: engines inline calls up to a sum of code. The call would
      // make lock and unlock slower.
      this.#predecessorDied = false
      this.#isHeld = true
      this.#turn = ++this.#turns
      return guard
    }
    this.#lockSlow(options)
    return this.#guard()
  }

  /**
   * Locks it if it is free now. Never blocks.
   *
   * @returns undefined if it is not free, also if this CPU has it locked.
   * @throws TooManyLocksError; OfflineError.
   */
  tryLock(): MutexGuard | undefined {
    this.#state.waiting.assertOpen()
    if (this.#isHeld) return this.#isDeferred ? this.#relock() : undefined
    ensureStack(FEW)
    this.#listed.enter()
    if (this.#tryTake()) return this.#guard()
    this.#listed.leave()
    return undefined
  }

  /**
   * Locks it without blocking the thread. Tasks of one thread get it in the order in which they
   * asked. A task may ask while another task of its thread has the mutex locked.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   TooManyLocksError; ArgumentError for other options; OfflineError, also when this CPU goes
   *   offline meanwhile.
   */
  async lockAsync(options?: WaitOptions): Promise<MutexGuard> {
    this.#state.waiting.assertOpen()
    checkWait(options)
    this.#listed.enter()
    let taken = false
    try {
      taken = !this.#waiters.hasTasks && this.#tryTake()
      taken ||= await this.#waiters.wait(new Deadline(options))
      if (!taken) throw this.#timeout()
    } finally {
      if (!taken) this.#listed.leave()
    }
    return this.#guard()
  }

  /**
   * Releases it: at once, or, inside a section, when the outermost one has ended. It ends the
   * present turn, whichever guard has it; prefer {@link MutexGuard.unlock}.
   *
   * @throws NotOwnerError if this CPU has not locked it; OfflineError.
   */
  unlock(): void {
    if (!this.#isHeld || this.#isDeferred) throw this.#notOwner()
    if (this.#sections.isOpen) {
      this.#isDeferred = true
      this.#sections.retain(this)
    } else {
      this.#release()
    }
  }

  /**
   * Locks it, runs `change` in a section, unlocks it, and returns the result of `change`. The
   * changes made through the section happen as a whole when `change` returns, or not at all when it
   * throws or its thread is killed. Inside a section that holds the mutex already it nests.
   *
   * @throws what `change` throws, after its changes are taken back; SectionError if `change`
   *   returns a promise; LockTimeoutError at the end of `timeout`; the reason of a `signal` that
   *   has aborted; SelfDeadlockError if this CPU has the mutex locked outside a section;
   *   TooManyLocksError; UnsupportedError where a thread must not block; ArgumentError for other
   *   options or if `change` is no function; OfflineError.
   */
  run<Result>(change: (section: Section) => Result, options?: WaitOptions): Result {
    if (typeof change !== 'function') checkFunction('change', change)
    ensureStack(MANY)
    if (this.#isInSection) return runSection(this.#sections, change)
    this.lock(options)
    let result: { readonly value: Result } | undefined
    let failure: unknown
    try {
      result = { value: this.runHeld(change, true) }
    } catch (error) {
      failure = error
    }
    try {
      this.unlock()
    } catch (error) {
      if (!(error instanceof RangeError) || !this.#isHeld) throw error
      // As in runSection.
      this.#isDeferred = true
      this.#sections.unended.push(this)
      void settled.then(this.#sections.endUnended)
    }
    if (result) return result.value
    throw failure
  }

  /**
   * As {@link run}, without blocking the thread for the mutex. `change` itself is synchronous.
   *
   * @throws what `change` throws, after its changes are taken back; SectionError if `change`
   *   returns a promise; LockTimeoutError at the end of `timeout`; the reason of `signal` when it
   *   aborts; TooManyLocksError; ArgumentError for other options or if `change` is no function;
   *   OfflineError.
   */
  async runAsync<Result>(change: (section: Section) => Result, options?: WaitOptions): Promise<Result> {
    checkFunction('change', change)
    const guard = await this.lockAsync(options)
    try {
      return guard.run(change)
    } finally {
      guard.unlock()
    }
  }

  /** Whether a thread of this CPU has it locked. */
  get isHeldHere(): boolean {
    return this.#isHeld && !this.#isDeferred
  }

  /** @internal Whether the caller is in a section under it, not only another task of its thread. */
  get isInOpenSection(): boolean {
    return this.#isInSection && this.#sections.isOpen
  }

  /** The CPU that has it locked. A snapshot. @throws OfflineError */
  get owner(): { readonly cpu: number; readonly incarnation: number } | undefined {
    const token = ownerToken(this.#state.protocol.owner(this.#word))
    return token === 0 ? undefined : { cpu: cpuOf(token), incarnation: incarnationOf(token) }
  }

  /** @internal */
  isTurn(turn: number): boolean {
    return this.#isHeld && !this.#isDeferred && this.#turn === turn
  }
  /** @internal */
  beginSection(): Section {
    ensureStack(MANY)
    this.#hooks?.beforeSection()
    const section = this.#sections.beginByHand()
    this.#isInSection = true
    this.#sections.retain(this)
    return section
  }
  /** @internal `keeps`: further sections under this mutex nest until it is released. */
  runHeld<Result>(change: (section: Section) => Result, keeps = false): Result {
    if (typeof change !== 'function') checkFunction('change', change)
    const before = this.#isInSection
    ensureStack(MANY)
    this.#isInSection = true
    this.#hooks?.beforeSection()
    try {
      return runSection(this.#sections, change)
    } finally {
      if (!keeps) this.#isInSection = before
    }
  }
  /** @internal */
  suspendTurn(): void {
    this.#listed.keep()
    this.unlock()
  }
  /** @internal */
  resumeTurn(turn: number): boolean {
    this.#turn = turn
    return this.#predecessorDied
  }
  /** @internal */
  endSuspension(): void {
    this.#listed.unkeep()
  }
  /** @internal */
  releaseAfterSection(): void {
    if (this.#isDeferred) this.#release()
    else this.#isInSection = false
  }

  #lockSlow(options: WaitOptions | undefined): void {
    const { waiting, protocol } = this.#state
    const word = this.#word
    this.#ensureStack()
    if (this.#tryTake()) return
    if (waiting.spin(() => protocol.isAvailable(word)) && this.#tryTake()) return
    let taken = false
    try {
      if (protocol.isOwn(word)) throw this.#selfDeadlock()
      taken = this.#waiters.sleep(new Deadline(options))
      if (!taken) throw this.#timeout(waiting.warning)
    } finally {
      if (!taken) this.#listed.leave()
    }
  }

  /** Before the mutex is taken; it has been entered. */
  #ensureStack(): void {
    try {
      ensureStack(MANY)
    } catch (error) {
      this.#listed.leave()
      throw error
    }
  }

  #tryTake(): boolean {
    const before = this.#state.protocol.take(this.#word)
    if (before === undefined) return false
    this.#beginTurn((before & OWNER_DIED) !== 0)
    return true
  }

  /**
   * In the same stretch in which the mutex was taken: from here on earlier guards hold it no more.
   */
  #beginTurn(predecessorDied: boolean): void {
    this.#predecessorDied = predecessorDied
    this.#isHeld = true
    this.#turn = ++this.#turns
  }
  /** Of the present turn. */
  #guard(): MutexGuard {
    return new MutexGuard(this, this.#turn, this.#predecessorDied)
  }

  #relock(): MutexGuard {
    if (!this.#isDeferred) throw this.#selfDeadlock()
    this.#isDeferred = false
    this.#beginTurn(this.#predecessorDied)
    return this.#guard()
  }

  #release(): void {
    const token = this.#token
    // Not for what is another CPU's by now: see below. Mutant: sync/late-sequence.
    if (this.#hooks && this.#state.protocol.isOwn(this.#word)) this.#hooks.beforeRelease()
    // atomic: B, for a mutex that nobody waits for.
    if (compareExchangeAtomic32(this.#memory.i32, this.#word, token, 0) !== token) {
      // The CPU was declared dead by mistake, and its reaper has released the mutex already:
      // another CPU may have it by now. Mutant: sync/late-release.
      if (!this.#state.protocol.isOwn(this.#word)) throw this.#lost()
      // Before it is let go: who waits is rung after that.
      ensureStack(FEW)
      this.#state.protocol.release(this.#word)
    }
    // No call: from here on a second attempt would find nothing to release.
    this.#isHeld = false
    this.#isDeferred = false
    this.#isInSection = false
    this.#listed.leave()
  }
  #end(): void {
    this.#isHeld = false
    this.#isDeferred = false
    this.#isInSection = false
  }

  #selfDeadlock(): SelfDeadlockError {
    return new SelfDeadlockError(
      `CPU ${this.#state.cpu} has ${visible(this.name)} locked already and would wait for itself: unlock it first, ` +
        `or let tasks of one thread use lockAsync`,
      { address: this.address, cpu: this.#state.cpu },
    )
  }
  #lost(): NotOwnerError {
    this.#end()
    this.#state.waiting.assertOpen()
    return this.#notOwner()
  }
  #timeout(warning = ''): LockTimeoutError {
    return new LockTimeoutError(
      `${visible(this.name)} did not become free in time${this.#describeOwner()}${warning}`,
      {
        address: this.address,
        owner: this.owner,
      },
    )
  }
  #notOwner(): NotOwnerError {
    return new NotOwnerError(`${visible(this.name)} is not locked by this CPU${this.#describeOwner()}`, {
      address: this.address,
      owner: this.owner,
    })
  }
  #describeOwner(): string {
    const { owner } = this
    return owner ? `: CPU ${owner.cpu} has it locked` : ': nobody has it locked'
  }
}
