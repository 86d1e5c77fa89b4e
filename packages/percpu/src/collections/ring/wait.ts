/**
 * Waiting at one end of a ring, for a message or for room: asleep, or without blocking the thread.
 *
 * A waiter is in its list of held locks (held-locks.ts) and in a mask of the ring. It enters itself
 * in the mask again before each look, as whoever wakes it takes it out. So its death, its time-out
 * or its signal lose no wake-up: the reaper, or it itself, wakes the next one.
 */
import { nextTurn } from '../../machine/platform.js'
import { checkWait, Deadline, type WaitOptions } from '../../machine/wait-options.js'
import { hasBit, setBit } from '../../sync/cpu-mask.js'
import { LockTimeoutError } from '../../sync/errors.js'
import type { SyncState } from '../../sync/state.js'
import type { WaitQueue } from '../../sync/wait-queue.js'
import type { Life } from '../life.js'

/** Asynchronous calls in a row that need not wait, between two that go through the event loop. */
const UNSLEPT = 256

/** What is waited for. */
export interface Awaited<Result> {
  /** Whether it is worth trying. Only loads. */
  isReady(): boolean
  attempt(): Result | undefined
}

export class RingWait {
  readonly #state: SyncState
  readonly #mask: number
  readonly #queue: WaitQueue
  readonly #address: number
  /** What is missing, for an error. */
  readonly #what: string
  readonly #life: Life
  readonly #wakeNext: () => void
  #unslept = 0

  /** `mask`: word index; `wakeNext`: passes a wake-up on. */
  constructor(
    state: SyncState,
    mask: number,
    { queue, address, what, life }: { queue: WaitQueue; address: number; what: string; life: Life },
    wakeNext: () => void,
  ) {
    this.#state = state
    this.#mask = mask
    this.#queue = queue
    this.#address = address
    this.#what = what
    this.#life = life
    this.#wakeNext = wakeNext
  }

  /** For {@link wait}. @throws ArgumentError; UnsupportedError. */
  begin(options: WaitOptions | undefined): Deadline {
    this.#state.waiting.assertMayBlock()
    if (options !== undefined) checkWait(options)
    return new Deadline(options)
  }
  /** For {@link waitAsync}. @throws ArgumentError; OfflineError. */
  beginAsync(options: WaitOptions | undefined): Deadline {
    this.#state.waiting.assertOpen()
    if (options !== undefined) checkWait(options)
    return new Deadline(options)
  }

  /** Blocks. @throws LockTimeoutError at the deadline. */
  wait<Result>(awaited: Awaited<Result>, deadline: Deadline): Result {
    const at = awaited.attempt()
    return at === undefined ? this.#sleep(awaited, deadline) : at
  }
  #sleep<Result>(awaited: Awaited<Result>, deadline: Deadline): Result {
    const marked: Awaited<Result> = {
      isReady: () => this.#isReady(awaited) || this.#mark(awaited),
      attempt: () => awaited.attempt(),
    }
    this.#queue.enter()
    try {
      const result = this.#queue.waitEntered(marked, deadline)
      if (result !== undefined) return result
      throw this.#timeout(this.#state.waiting.warning)
    } finally {
      this.#leave(awaited)
    }
  }

  /** @throws LockTimeoutError at the deadline; the reason of its signal; OfflineError. */
  async waitAsync<Result>(awaited: Awaited<Result>, deadline: Deadline): Promise<Result> {
    const at = awaited.attempt()
    if (at !== undefined) {
      // A loop of calls that never have to wait still lets timers and sockets have their turn.
      if (++this.#unslept % UNSLEPT === 0) await nextTurn()
      return at
    }
    this.#queue.enter()
    try {
      const result = await this.#entered(awaited, deadline)
      if (result !== undefined) return result
      throw this.#timeout()
    } finally {
      this.#leave(awaited)
    }
  }
  async #entered<Result>(awaited: Awaited<Result>, deadline: Deadline): Promise<Result | undefined> {
    const { waiting, own } = this.#state
    const begun = waiting.beginWait()
    const done = (): boolean => waiting.isClosed || this.#isReady(awaited)
    let result: Result | undefined
    try {
      // The doorbell enters the mask before each look, as #mark does.
      while (result === undefined && (await own.doorbell.until([this.#mask], done, deadline))) {
        waiting.assertOpen()
        result = awaited.attempt()
      }
      waiting.assertOpen()
      return result
    } finally {
      waiting.endWait(this.#address, begun, result !== undefined)
    }
  }

  /** Also of a ring that was removed: the attempt throws then. */
  #isReady(awaited: Awaited<unknown>): boolean {
    return this.#life.isRemoved || awaited.isReady()
  }

  /** Asks for a ring, and looks again. */
  #mark(awaited: Awaited<unknown>): boolean {
    const { memory, cpu } = this.#state
    // RE(ring.receivers) asks for a ring, and so does ring.senders; pairs with RF in hasWaiters:
    // set before the look, so whoever brings what is waited for later finds it. Mutant:
    // collections/ring-marked-late.
    if (!hasBit(memory, this.#mask, cpu)) setBit(memory, this.#mask, cpu)
    return awaited.isReady()
  }

  #leave(awaited: Awaited<unknown>): void {
    const isReady = (): boolean => {
      // A ring that came for this waiter is passed on, if there is still something. Mutant:
      // collections/ring-keeps-wake-up.
      if (!this.#life.isRemoved && awaited.isReady()) this.#wakeNext()
      return false
    }
    this.#queue.leave({ isReady })
  }

  #timeout(warning = ''): LockTimeoutError {
    return new LockTimeoutError(`${this.#what} did not come in time${warning}`, { address: this.#address })
  }
}
