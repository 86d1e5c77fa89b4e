/**
 * What a thread holds of a mutex: fast paths, the queue of its own asynchronous tasks, guards. The protocol on the shared words,
 * with its guarantees, is in mutex-words.ts.
 *
 * Several tasks of one CPU may want the mutex at the same time: to the other CPUs they are one waiter, among themselves they
 * queue here, first come, first served.
 *
 * Cost: lock and unlock are one compare-and-exchange each while nobody waits, and a few plain stores; see "sync" in
 * docs/benchmarks.md. A wait costs the wake-up, tens of µs.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import type { SyncState } from './state.js'
import { cpuOf, incarnationOf } from '../machine/token.js'
import { checkWait, Deadline, type WaitOptions } from '../machine/wait-options.js'
import { KIND_MUTEX } from './held-locks.js'
import { LockTimeoutError, NotOwnerError, SelfDeadlockError } from './errors.js'
import { OWNER_DIED, ownerToken } from './mutex-words.js'
import { runSection, type Section, type Sections } from './section.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { compareExchangeAtomic32, storeU32 } = mem
/** The right to what a mutex protects, until {@link MutexGuard.unlock} or the end of its `using` block. */
export class MutexGuard {
  #predecessorDied: boolean
  readonly #mutex: Mutex
  readonly #turn: number

  /** @internal */
  constructor(mutex: Mutex, turn: number, predecessorDied: boolean) {
    this.#mutex = mutex
    this.#turn = turn
    this.#predecessorDied = predecessorDied
  }

  /** Whether the previous owner died; what it had changed through a section was taken back. */
  get predecessorDied(): boolean {
    return this.#predecessorDied
  }

  /** Whether it still holds the mutex. */
  get isHeld(): boolean {
    return this.#mutex.isTurn(this.#turn)
  }
  /**
   * Releases the mutex; inside a section, when the outermost one has ended.
   *
   * @throws NotOwnerError if this guard has released it already.
   */
  unlock(): void {
    if (!this.isHeld) throw this.#notHeld()
    this.#mutex.unlock()
  }
  /**
   * Begins a section; see {@link Mutex.run}. End it with `commit`; leaving its `using` block without takes it back, and so does the end
   * of the synchronous stretch, with an uncaught SectionError.
   */
  begin(): Section {
    if (!this.isHeld) throw this.#notHeld()
    return this.#mutex.beginSection()
  }
  /** Runs `change` in a section, as {@link Mutex.run}; the mutex stays locked. */
  run<Result>(change: (section: Section) => Result): Result {
    if (!this.isHeld) throw this.#notHeld()
    return this.#mutex.runHeld(change)
  }
  /** Releases the mutex unless {@link unlock} has. */
  [Symbol.dispose](): void {
    if (this.isHeld) this.#mutex.unlock()
  }

  /** @internal For conditions: lets the mutex go for a while. Returns a function for when this CPU has it again. */
  suspend(mutex: Mutex): () => void {
    if (mutex !== this.#mutex) {
      throw new NotOwnerError(`this guard is of ${this.#mutex.name}, not of ${mutex.name}`, {
        address: this.#mutex.address,
        mutex: mutex.address,
      })
    }
    if (!this.isHeld) throw this.#notHeld()
    mutex.unlock()
    return () => {
      this.#predecessorDied = mutex.resumeTurn(this.#turn)
    }
  }

  #notHeld(): NotOwnerError {
    return new NotOwnerError(`this guard of ${this.#mutex.name} has released it already`, {
      address: this.#mutex.address,
    })
  }
}

/** For seqlocks. */
interface MutexHooks {
  readonly beforeSection: () => void
  readonly beforeRelease: () => void
}

export class Mutex {
  /** Byte address of its MutexLayout. */
  readonly address: number
  /** For messages. */
  readonly name: string
  readonly #state: SyncState
  readonly #memory: Memory
  readonly #token: number
  readonly #sections: Sections
  readonly #word: number
  /** Word index of its entry in the list of heldLocks, once it has one. */
  #entry = 0
  /** How many of this thread hold it or want it. */
  #users = 0
  #isHeld = false
  /** Unlocked inside a section, and released at its end. */
  #isDeferred = false
  /** Taken or used by a section that is open. */
  #isInSection = false
  #predecessorDied = false
  /** Counts the turns of this thread, so that an old guard cannot release a later turn; and the present one. */
  #turns = 0
  #turn = 0
  /** How many of this thread wait; while any does, its CPU's bit is set in the mutex. */
  #sleepers = 0
  /** The asynchronous ones, in their order. */
  readonly #tasks: object[] = []
  readonly #kind: number
  readonly #hooks: MutexHooks | undefined

  /** @internal Made by `machine.mutex` and `machine.mutexAt`. `kind`: see held-locks.ts. */
  constructor(state: SyncState, word: number, name: string, kind = KIND_MUTEX, hooks?: MutexHooks) {
    this.#kind = kind
    this.#hooks = hooks
    this.#state = state
    this.#memory = state.memory
    this.#token = state.token
    this.#sections = state.sections
    this.#word = word
    this.address = word * 4
    this.name = name
  }

  /**
   * Locks it, asleep until it is free. While asleep the CPU is idle and answers its doorbell: use nothing afterwards that was read
   * before under the protection of a grace period.
   *
   * @throws SelfDeadlockError if this CPU has it locked; LockTimeoutError; UnsupportedError where blocking is forbidden;
   *   TooManyLocksError.
   */
  lock(options?: WaitOptions): MutexGuard {
    this.#state.waiting.assertMayBlock()
    if (this.#isHeld) return this.#relock()
    if (options !== undefined) checkWait(options)
    this.#enlist()
    // atomic: A, for a mutex that nobody holds or waits for.
    if (compareExchangeAtomic32(this.#memory.i32, this.#word, 0, this.#token) === 0)
      this.#predecessorDied = false
    else this.#lockSlow(options)
    this.#isHeld = true
    return new MutexGuard(this, (this.#turn = ++this.#turns), this.#predecessorDied)
  }

  /** Locks it if it is free now; undefined if not, also if this CPU has it locked. Never blocks. */
  tryLock(): MutexGuard | undefined {
    this.#state.waiting.assertOpen()
    if (this.#isHeld) return this.#isDeferred ? this.#relock() : undefined
    this.#enlist()
    if (this.#tryTake()) return this.#taken()
    this.#delist()
    return undefined
  }

  /**
   * Locks it without blocking the thread. Tasks of one thread get it in the order in which they asked; a task that asks while
   * another one of the same thread has it locked waits its turn.
   *
   * @throws LockTimeoutError; the reason of `signal`; TooManyLocksError; OfflineError when this CPU goes offline meanwhile.
   */
  async lockAsync(options?: WaitOptions): Promise<MutexGuard> {
    const { waiting, protocol } = this.#state
    waiting.assertOpen()
    checkWait(options)
    this.#enlist()
    if (this.#tasks.length === 0 && this.#tryTake()) return this.#taken()
    const deadline = new Deadline(options)
    const begun = waiting.beginWait()
    const task = {}
    let guard: MutexGuard | undefined
    this.#tasks.push(task)
    this.#sleepersChange(1)
    const isReady = (): boolean => this.#tasks[0] === task && protocol.isAvailableOrMarked(this.#word)
    try {
      while (!guard) {
        if (!(await waiting.wait(isReady, deadline))) throw this.#timeout()
        if (this.#tasks[0] === task && this.#tryTake()) guard = this.#taken()
        else protocol.insist(this.#word)
      }
      return guard
    } finally {
      this.#tasks.splice(this.#tasks.indexOf(task), 1)
      this.#sleepersChange(-1, guard !== undefined)
      if (!guard) this.#delist()
      waiting.endWait(this.address, begun, guard !== undefined)
      waiting.recheck()
    }
  }

  /**
   * Releases it; inside a section, when the outermost one has ended. Prefer the guard.
   *
   * @throws NotOwnerError if this CPU has not locked it.
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
   * Locks it, runs `change` in a section, and unlocks it. What `change` writes through the section happens as a whole when it
   * returns, or not at all when it throws or its thread is killed. Inside a section that holds the mutex already it nests.
   *
   * @throws what `change` throws, or {@link lock}; JournalFullError; SectionError if `change` returns a promise.
   */
  run<Result>(change: (section: Section) => Result, options?: WaitOptions): Result {
    if (this.#isInSection) return runSection(this.#state.sections, change)
    this.lock(options)
    try {
      return this.runHeld(change, true)
    } finally {
      this.unlock()
    }
  }
  /** As {@link run}, without blocking the thread for the lock; `change` itself is synchronous. */
  async runAsync<Result>(change: (section: Section) => Result, options?: WaitOptions): Promise<Result> {
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
  /** Who has it locked; a snapshot. */
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
    this.#hooks?.beforeSection()
    return this.#state.sections.beginByHand()
  }
  /** @internal `keeps`: further sections under this mutex nest until it is released. */
  runHeld<Result>(change: (section: Section) => Result, keeps = false): Result {
    const before = this.#isInSection
    this.#isInSection = true
    this.#hooks?.beforeSection()
    try {
      return runSection(this.#state.sections, change)
    } finally {
      if (!keeps) this.#isInSection = before
    }
  }
  /** @internal The present turn becomes that of an earlier guard again. */
  resumeTurn(turn: number): boolean {
    this.#turn = turn
    return this.#predecessorDied
  }
  /** @internal */
  releaseAfterSection(): void {
    if (this.#isDeferred) this.#release()
    else this.#isInSection = false
  }

  #lockSlow(options: WaitOptions | undefined): void {
    const { waiting, protocol } = this.#state
    const deadline = new Deadline(options)
    const word = this.#word
    let taken = this.#tryTake()
    if (!taken && waiting.spin(() => protocol.isAvailable(word))) taken = this.#tryTake()
    if (taken) return
    if (protocol.isOwn(word)) {
      this.#delist()
      throw this.#selfDeadlock()
    }
    const begun = waiting.beginWait()
    this.#sleepersChange(1)
    try {
      while (!taken) {
        if (!waiting.sleep(() => protocol.isAvailableOrMarked(word), deadline)) throw this.#timeout()
        taken = this.#tryTake()
        if (!taken) protocol.insist(word)
      }
    } finally {
      this.#sleepersChange(-1, taken)
      if (!taken) this.#delist()
      waiting.endWait(this.address, begun, taken)
    }
  }

  #tryTake(): boolean {
    const before = this.#state.protocol.take(this.#word)
    if (before === undefined) return false
    this.#predecessorDied = (before & OWNER_DIED) !== 0
    return true
  }

  #taken(): MutexGuard {
    this.#isHeld = true
    return new MutexGuard(this, (this.#turn = ++this.#turns), this.#predecessorDied)
  }

  #relock(): MutexGuard {
    if (!this.#isDeferred) throw this.#selfDeadlock()
    this.#isDeferred = false
    return this.#taken()
  }
  #selfDeadlock(): SelfDeadlockError {
    return new SelfDeadlockError(
      `CPU ${this.#state.cpu} has ${this.name} locked already and would wait for itself: unlock it first, or let tasks of one ` +
        `thread use lockAsync`,
      { address: this.address, cpu: this.#state.cpu },
    )
  }

  #release(): void {
    const token = this.#token
    this.#hooks?.beforeRelease()
    this.#isHeld = false
    this.#isDeferred = false
    this.#isInSection = false
    // atomic: B, for a mutex that nobody waits for.
    if (compareExchangeAtomic32(this.#memory.i32, this.#word, token, 0) !== token) {
      // The CPU was declared dead by mistake, and its reaper has released it already; it may be another CPU's by now. Mutant:
      // sync/late-release.
      if (!this.#state.protocol.isOwn(this.#word)) throw this.#lost()
      this.#state.protocol.release(this.#word)
    }
    this.#delist()
  }

  /** Says in the list of heldLocks that this thread wants the mutex, or has it. */
  #enlist(): void {
    if (this.#entry === 0) this.#borrowEntry()
    // Before anything that a reaper must know of. Mutant: sync/lock-unlisted.
    if (this.#users++ === 0) storeU32(this.#memory.u32, this.#entry, this.#word)
  }
  #delist(): void {
    if (--this.#users === 0) storeU32(this.#memory.u32, this.#entry, 0)
  }
  #borrowEntry(): void {
    const { heldLocks } = this.#state
    this.#entry = heldLocks.wordOf(heldLocks.lend(this, this.#word, this.#kind))
  }
  /** @internal */
  tryReturn(): boolean {
    if (this.#users > 0) return false
    this.#entry = 0
    return true
  }

  #sleepersChange(by: 1 | -1, taken = false): void {
    this.#sleepers += by
    if (by === 1 && this.#sleepers === 1) this.#state.protocol.enter(this.#word)
    if (by === 1 || this.#sleepers > 0) return
    if (taken) this.#state.protocol.leave(this.#word)
    else this.#state.protocol.withdraw(this.#word)
  }

  #lost(): NotOwnerError {
    this.#state.waiting.assertOpen()
    return this.#notOwner()
  }
  #timeout(): LockTimeoutError {
    return new LockTimeoutError(`${this.name} did not become free in time${this.#describeOwner()}`, {
      address: this.address,
      owner: this.owner,
    })
  }
  #notOwner(): NotOwnerError {
    return new NotOwnerError(`${this.name} is not locked by this CPU${this.#describeOwner()}`, {
      address: this.address,
      owner: this.owner,
    })
  }
  #describeOwner(): string {
    const { owner } = this
    return owner ? `: CPU ${owner.cpu} has it locked` : ': nobody has it locked'
  }
}
