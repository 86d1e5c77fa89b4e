/**
 * The tasks of one thread that wait for one mutex. The other CPUs see them as one waiter. Among
 * themselves, those that wait asynchronously queue here: first come, first served.
 *
 * While any of them waits, the CPU's bit is set in the mutex (mutex-words.ts).
 */
import type { Deadline } from '../machine/wait-options.js'
import { ensureStack } from '../stack.js'
import type { SyncState } from './state.js'

export class MutexWaiters {
  readonly #state: SyncState
  /** Word index of the mutex. */
  readonly #word: number
  /** Takes the mutex for this thread if it can be had. */
  readonly #tryTake: () => boolean
  /** How many of this thread wait. */
  #sleepers = 0
  /** The asynchronous ones, in their order. */
  readonly #tasks: object[] = []

  constructor(state: SyncState, word: number, tryTake: () => boolean) {
    this.#state = state
    this.#word = word
    this.#tryTake = tryTake
  }

  /** Whether a task would have to queue. */
  get hasTasks(): boolean {
    return this.#tasks.length > 0
  }

  /** Blocks the thread until the mutex is taken (true), or until the deadline (false). */
  sleep(deadline: Deadline): boolean {
    const { waiting, protocol } = this.#state
    const begun = waiting.beginWait()
    let taken = false
    this.#enter()
    try {
      while (!taken && waiting.sleep(() => protocol.isAvailableOrMarked(this.#word), deadline)) {
        taken = this.#tryTake()
        if (!taken) protocol.insist(this.#word)
      }
      return taken
    } finally {
      this.#leave(taken)
      waiting.endWait(this.#word * 4, begun, taken)
    }
  }

  /**
   * As {@link sleep}, without blocking the thread. Rejects with the reason of the deadline's signal
   * when that aborts, and with an OfflineError when this CPU goes offline.
   */
  async wait(deadline: Deadline): Promise<boolean> {
    const { waiting, protocol } = this.#state
    const begun = waiting.beginWait()
    const task = {}
    const isFirst = (): boolean => this.#tasks[0] === task
    const isReady = (): boolean => isFirst() && protocol.isAvailableOrMarked(this.#word)
    let taken = false
    this.#tasks.push(task)
    this.#enter()
    try {
      while (!taken && (await waiting.wait(isReady, deadline))) {
        taken = isFirst() && this.#tryTake()
        if (!taken) protocol.insist(this.#word)
      }
      return taken
    } finally {
      this.#tasks.splice(this.#tasks.indexOf(task), 1)
      this.#leave(taken)
      waiting.endWait(this.#word * 4, begun, taken)
      // The next task may be first now.
      waiting.recheck()
    }
  }

  #enter(): void {
    ensureStack()
    if (this.#sleepers++ === 0) this.#state.protocol.enter(this.#word)
  }

  #leave(taken: boolean): void {
    if (--this.#sleepers > 0) return
    if (taken) this.#state.protocol.leave(this.#word)
    else this.#state.protocol.withdraw(this.#word)
  }
}
