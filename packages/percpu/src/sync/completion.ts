/**
 * Completions: one thread waits until another one is done with something. (After the kernel's
 * `struct completion`.)
 *
 *     done   completions that nobody has waited for yet, at most 2^32 - 2; -1 after completeAll
 */
import { compareExchangeAtomic32, loadAtomic32, storeAtomic32 } from '#mem'
import type { WaitOptions } from '../machine/wait-options.js'
import type { SyncState } from './state.js'
import { CompletionLayout } from './layouts.js'
import { WaitQueue, type Condition } from './wait-queue.js'
import { showAs } from '../inspect.js'
import { ofThisThread } from '../unsendable.js'

const ALL = -1
/** The most completions that are counted, as the word has it. */
const MOST = ALL - 1

/** Something that is done once, or so many times, and that threads wait for: docs/sync.md. */
export class Completion {
  static {
    showAs(this, ({ address, isDone }) => ({ address, isDone }))
  }

  /** @internal */
  protected readonly unsendable = ofThisThread

  /** Byte address of its CompletionLayout. */
  readonly address: number
  readonly #state: SyncState
  readonly #word: number
  readonly #queue: WaitQueue
  readonly #condition: Condition<true>

  /** @internal Made by Locks. */
  constructor(state: SyncState, word: number, name: string) {
    this.#state = state
    this.#word = word
    this.address = word * 4
    this.#queue = new WaitQueue(state, word + CompletionLayout.words.waiters, this.address, name)
    this.#condition = { isReady: () => this.isDone, attempt: () => this.#take() || undefined }
  }

  /** Whether a wait would end at once. A snapshot. @throws OfflineError. */
  get isDone(): boolean {
    // atomic: what hangs on it is decided by J.
    return loadAtomic32(this.#state.memory.i32, this.#word) !== 0
  }

  /**
   * Lets one waiter go on, now or when it comes. No more than 2^32 - 2 are kept for later: one more
   * is not counted. @throws TooManyLocksError; OfflineError.
   */
  complete(): void {
    this.#queue.announce(() => {
      for (;;) {
        // atomic: read for the exchange below.
        const done = loadAtomic32(this.#state.memory.i32, this.#word)
        // I(completion.done) pairs with J in #take: what was written before it is the waiter's to
        // read. Mutant: sync/complete-without-exchange.
        if (done === ALL || done === MOST || this.#exchange(done, done + 1)) return
      }
    }, 'one')
  }

  /**
   * Lets all waiters go on, those of today and later ones, until {@link reset}.
   *
   * @throws TooManyLocksError; OfflineError.
   */
  completeAll(): void {
    this.#queue.announce(() => {
      // atomic: as I.
      storeAtomic32(this.#state.memory.i32, this.#word, ALL)
    }, 'all')
  }

  /**
   * Blocks until there is a completion, and takes it.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of a `signal` that has aborted;
   *   TooManyLocksError; UnsupportedError where a thread must not block; ArgumentError for other
   *   options; OfflineError.
   */
  wait(options?: WaitOptions): void {
    this.#queue.wait(this.#condition, options)
  }
  /**
   * As {@link wait}, without blocking the thread.
   *
   * @throws LockTimeoutError at the end of `timeout`; the reason of `signal` when it aborts;
   *   TooManyLocksError; ArgumentError for other options; OfflineError, also when this CPU goes
   *   offline meanwhile.
   */
  async waitAsync(options?: WaitOptions): Promise<void> {
    await this.#queue.waitAsync(this.#condition, options)
  }
  /** Takes a completion if there is one; tells whether there was. @throws OfflineError. */
  tryWait(): boolean {
    this.#state.waiting.assertOpen()
    return this.#take()
  }
  /** Back to not completed; call it when nobody waits or completes. @throws OfflineError. */
  reset(): void {
    // atomic: the caller sees to it that nobody else uses it.
    storeAtomic32(this.#state.memory.i32, this.#word, 0)
  }

  #take(): boolean {
    for (;;) {
      // J(completion.done) takes one completion; pairs with I in complete: each is taken once, and
      // what its maker wrote may be read. Mutant: sync/complete-without-exchange.
      const done = loadAtomic32(this.#state.memory.i32, this.#word)
      if (done === 0) return false
      if (done === ALL || this.#exchange(done, done - 1)) return true
    }
  }

  #exchange(expected: number, value: number): boolean {
    // atomic: I and J.
    return compareExchangeAtomic32(this.#state.memory.i32, this.#word, expected, value) === expected
  }
}
