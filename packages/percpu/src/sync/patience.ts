/**
 * For how long a thread waits for a lock of a layer, which is held for microseconds. The lock of a
 * thread that has ended is freed by who waits for it, where the system tells of threads. Elsewhere
 * it is free only once somebody has cleaned up after its owner, and the waiting thread may be the
 * only one that could. So the wait ends, but not while the owner lives.
 *
 * Time counts only while this thread looks. A process that is stopped and goes on later, or a
 * machine that is paused, has waited for nobody meanwhile. A lock that gets another owner is
 * waited for anew. Where the system tells of threads, one that runs is waited for without limit,
 * and one that is there for {@link STOPPED} times as long.
 */
import type { OsThreadState } from '../machine/os-thread.js'
import { host } from '../machine/platform.js'

/** Milliseconds that count at most between two looks. */
const STEP = 50
/** So many times as long it waits for an owner that is there, and does not run. */
const STOPPED = 15

/** Milliseconds of waiting after which it is tried to free the lock, again and again. */
const RESCUE = 20

/** What the system says of the thread of this token; undefined if nothing, or if it is reaped. */
export type OwnerState = (token: number) => OsThreadState | undefined

/** Frees the locks of layers that the thread of this token has left, if it has certainly ended. */
export type Rescue = (token: number) => void

export class Patience {
  readonly #limit: number
  readonly #stateOf: OwnerState
  readonly #rescue: Rescue
  #owner = 0
  #last = host.performance.now()
  #waited = 0
  /** When the system is asked, in ms of {@link #waited}. */
  #askAt: number
  /** As that, when the lock is to be freed if its owner has ended. */
  #rescueAt = RESCUE

  /** `limit`: ms. */
  constructor(limit: number, stateOf: OwnerState, rescue: Rescue) {
    this.#limit = limit
    this.#stateOf = stateOf
    this.#rescue = rescue
    this.#askAt = limit
  }

  /** Whether the wait for a lock of this owner, 0 for none, is to end. */
  isOver(owner: number): boolean {
    const now = host.performance.now()
    const passed = Math.min(now - this.#last, STEP)
    this.#last = now
    if (owner !== this.#owner) {
      // Mutant: sync/patience-of-another.
      this.#begin()
      this.#owner = owner
    }
    this.#waited += passed
    if (owner !== 0 && this.#waited >= this.#rescueAt) {
      this.#rescueAt = this.#waited + RESCUE
      this.#rescue(owner)
    }
    return this.#waited >= this.#askAt && !this.#isThere(owner)
  }

  #isThere(owner: number): boolean {
    const state = owner === 0 ? undefined : this.#stateOf(owner)
    if (state === 'running') {
      this.#begin()
      return true
    }
    if (state === undefined || state === 'gone' || this.#waited >= STOPPED * this.#limit) return false
    this.#askAt = this.#waited + this.#limit
    return true
  }
  #begin(): void {
    this.#waited = 0
    this.#askAt = this.#limit
    this.#rescueAt = RESCUE
  }
}
