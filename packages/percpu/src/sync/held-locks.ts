/**
 * A CPU's list of the locks that it holds, waits for, or is just giving back; what its reaper looks at when it dies. (After the
 * kernel's robust futexes.)
 *
 * Rules: an entry is made before the first access to the lock that must be undone or finished, and removed after the last. Only the
 * CPU writes its list, or its reaper. Plain stores, in the order of the program: a thread is ended at a point of its own
 * program (journal.ts says why), so the reaper finds what stood before that point, all of it, and nothing from behind.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { TooManyLocksError } from './errors.js'
import { Interest, MAX_INTERESTS, SyncCpu } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem
export const KIND_MUTEX = 0
export const KIND_QUEUE = 1
export const KIND_SEMAPHORE = 2
export const KIND_SEQLOCK = 3

const stride = Interest.stride / 4
const { word, kind } = Interest.words

/** What a place can be lent to. */
export interface Lender {
  /** Gives its place back if it has no use for it now. */
  givesBack(): boolean
}

export class Interests {
  readonly #memory: Memory
  readonly #first: number
  /** Places not in use, a bit each. */
  #free = -1
  /** Whose place it is. Keeps the JavaScript objects of locks in use alive. */
  readonly #users: (object | undefined)[] = new Array<undefined>(MAX_INTERESTS).fill(undefined)
  /** Places that their users do not need at the moment, but will again. */
  readonly #lent = new Map<number, Lender>()

  /** `record`: word index of the CPU's SyncCpu. */
  constructor(memory: Memory, record: number) {
    this.#memory = memory
    this.#first = record + SyncCpu.words.interests
  }

  /** Returns the place to give to {@link leave}. */
  enter(lock: number, lockKind: number, user: object): number {
    const place = this.reserve(lock, user)
    this.publish(place, lockKind, lock)
    return place
  }

  publish(place: number, lockKind: number, lock: number): void {
    const at = this.wordOf(place)
    if (lockKind !== KIND_MUTEX) storeU32(this.#memory.u32, at + kind, lockKind)
    // The lock is written last: the entry counts from here on. Mutant: sync/no-interest.
    storeU32(this.#memory.u32, at, lock)
  }

  /** A place whose entry the caller completes, and then {@link publish | publishes}. */
  reserve(lock: number, user: object): number {
    if (this.#free === 0) this.#takeBack()
    const free = this.#free
    if (free === 0) {
      throw new TooManyLocksError(
        `this CPU holds or waits for ${MAX_INTERESTS} locks already: release some, or guard more with each`,
        { address: lock * 4, limit: MAX_INTERESTS },
      )
    }
    const place = 31 - Math.clz32(free & -free)
    this.#free = free & (free - 1)
    this.#users[place] = user
    return place
  }

  leave(place: number): void {
    const at = this.wordOf(place)
    storeU32(this.#memory.u32, at, 0)
    if (loadU32(this.#memory.u32, at + kind) !== KIND_MUTEX) storeU32(this.#memory.u32, at + kind, KIND_MUTEX)
    this.#users[place] = undefined
    this.#free |= 1 << place
  }

  /**
   * A place that stays with a mutex while nobody here wants it, so that locking writes the entry and nothing else. Taken back,
   * from a mutex that does not want it, when there are no others.
   */
  lend(user: Lender, lock: number, lockKind: number): number {
    const place = this.reserve(lock, user)
    storeU32(this.#memory.u32, this.wordOf(place) + kind, lockKind)
    this.#lent.set(place, user)
    return place
  }

  #takeBack(): void {
    for (const [place, user] of this.#lent) {
      if (!user.givesBack()) continue
      this.#lent.delete(place)
      this.leave(place)
      return
    }
  }

  /** Word index of an entry. */
  wordOf(place: number): number {
    return this.#first + word + place * stride
  }
}

/** The entries of any CPU: for its reaper they are exact, for watchers a guess. */
export function readInterests(memory: Memory, record: number): InterestEntry[] {
  const found: InterestEntry[] = []
  for (let place = 0; place < MAX_INTERESTS; place++) {
    const at = record + SyncCpu.words.interests + place * stride
    const lock = loadU32(memory.u32, at + word)
    if (lock !== 0) found.push({ at, lock, kind: loadU32(memory.u32, at + kind) })
  }
  return found
}
export interface InterestEntry {
  /** Word index of the entry. */
  readonly at: number
  /** Word index of the lock. */
  readonly lock: number
  readonly kind: number
}

/** For the reaper: the entry is done with. */
export function clearInterest(memory: Memory, { at }: InterestEntry): void {
  storeU32(memory.u32, at + word, 0)
  storeU32(memory.u32, at + kind, KIND_MUTEX)
}
