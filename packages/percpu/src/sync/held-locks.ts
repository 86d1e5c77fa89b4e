/**
 * A CPU's list of the locks that it holds, waits for, or is just giving back. Its reaper looks at
 * the list when the CPU dies. (After the kernel's robust futexes.)
 *
 * Rules: an entry is made before the first access to the lock that must be undone or finished, and
 * removed after the last. Only the CPU writes its list, or its reaper. The stores are plain, in the
 * order of the program. A thread is ended at a point of its own program (journal.ts says why). So
 * the reaper finds all stores from before that point, and none from behind it.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { ensureStack, FEW } from '../stack.js'
import { TooManyLocksError } from './errors.js'
import { HELD_LOCK_ENTRIES, HeldLockEntry, MAX_HELD_LOCKS, SyncCpu } from './layouts.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { loadU32, storeU32 } = mem
export const KIND_MUTEX = 0
export const KIND_QUEUE = 1
export const KIND_SEMAPHORE = 2
export const KIND_SEQLOCK = 3

const stride = HeldLockEntry.stride / 4
const { word, kind } = HeldLockEntry.words

/** Keeps a slot of the list while it has no use for it, until that is wanted back. */
interface Borrower {
  /** Returns the slot if it has no use for it now. */
  tryReturn(): boolean
}

/** The calling thread's own list. */
export class HeldLocks {
  readonly memory: Memory
  readonly #first: number
  /** Slots not in use, a bit each. */
  #free = -1
  /** Whose slot it is. Keeps the JavaScript objects of locks in use alive. */
  readonly #users: (object | undefined)[] = new Array<undefined>(MAX_HELD_LOCKS).fill(undefined)
  /** Slots that their borrowers do not need at the moment, but will again. */
  readonly #lent = new Map<number, Borrower>()

  /** `record`: word index of the CPU's SyncCpu. */
  constructor(memory: Memory, record: number) {
    this.memory = memory
    this.#first = record + SyncCpu.words.heldLocks
  }

  /**
   * Makes an entry, and returns its slot, to be given to {@link leave}.
   *
   * @throws TooManyLocksError
   */
  enter(lock: number, lockKind: number, user: object): number {
    const slot = this.reserve(lock, user)
    this.publish(slot, lockKind, lock)
    return slot
  }

  /**
   * A slot whose entry the caller completes, and then {@link publish | publishes}.
   *
   * @throws TooManyLocksError
   */
  reserve(lock: number, user: object): number {
    if (this.#free === 0) this.#reclaim()
    const free = this.#free
    if (free === 0) {
      throw new TooManyLocksError(
        `this CPU holds or waits for ${MAX_HELD_LOCKS} locks already: release some, or guard more with each`,
        { address: lock * 4, limit: MAX_HELD_LOCKS },
      )
    }
    const slot = 31 - Math.clz32(free & -free)
    this.#free = free & (free - 1)
    this.#users[slot] = user
    return slot
  }

  publish(slot: number, lockKind: number, lock: number): void {
    const at = this.wordOf(slot)
    if (lockKind !== KIND_MUTEX) storeU32(this.memory.u32, at + kind, lockKind)
    // The lock is written last: the entry counts from here on. Mutant: sync/lock-unlisted.
    storeU32(this.memory.u32, at, lock)
  }

  /** Removes the entry. */
  leave(slot: number): void {
    const at = this.wordOf(slot)
    storeU32(this.memory.u32, at, 0)
    if (loadU32(this.memory.u32, at + kind) !== KIND_MUTEX) storeU32(this.memory.u32, at + kind, KIND_MUTEX)
    this.#users[slot] = undefined
    this.#free |= 1 << slot
  }

  /**
   * Runs `ring`, which changes words and rings those that wait for it in the queue `mask`. It has
   * an entry of its own: waking needs nothing that can be missing. Not to be nested.
   */
  ringing(mask: number, ring: () => void): void {
    ensureStack(FEW)
    const at = this.wordOf(MAX_HELD_LOCKS)
    storeU32(this.memory.u32, at + kind, KIND_QUEUE)
    // Last: the entry counts from here on. Mutant: sync/ring-unlisted.
    storeU32(this.memory.u32, at, mask)
    ring()
    storeU32(this.memory.u32, at, 0)
  }

  /**
   * A slot that stays with its borrower, until there are no others and the borrower can return it.
   * Its entry is empty at first. Returns the word index of the entry. @throws TooManyLocksError
   */
  lend(borrower: Borrower, lock: number, lockKind: number, user: object): number {
    const slot = this.reserve(lock, user)
    storeU32(this.memory.u32, this.wordOf(slot) + kind, lockKind)
    this.#lent.set(slot, borrower)
    return this.wordOf(slot)
  }

  #reclaim(): void {
    for (const [slot, borrower] of this.#lent) {
      if (!borrower.tryReturn()) continue
      this.#lent.delete(slot)
      this.leave(slot)
      return
    }
  }

  /** Word index of an entry. */
  wordOf(slot: number): number {
    return this.#first + word + slot * stride
  }
}

/**
 * The entry of a lock that is taken again and again. It borrows a slot: entering and leaving are
 * one store each.
 */
export class ListedLock implements Borrower {
  readonly #list: HeldLocks
  readonly #memory: Memory
  readonly #lock: number
  readonly #kind: number
  /** The JavaScript object of the lock. */
  readonly #user: object
  /** Word index of the entry, or 0 while it has no slot. */
  #entry = 0
  /** Tasks of this thread that hold the lock or want it. */
  #tasks = 0
  /** Tasks that have let the lock go, and will enter again. */
  #returning = 0

  /** `lock`: word index. */
  constructor(list: HeldLocks, lock: number, lockKind: number, user: object) {
    this.#list = list
    this.#memory = list.memory
    this.#lock = lock
    this.#kind = lockKind
    this.#user = user
  }

  /** Before the first access that a reaper must know of. @throws TooManyLocksError */
  enter(): void {
    if (this.#entry === 0) this.#entry = this.#list.lend(this, this.#lock, this.#kind, this.#user)
    // Mutant: sync/lock-unlisted.
    if (this.#tasks === 0) storeU32(this.#memory.u32, this.#entry, this.#lock)
    this.#tasks++
  }
  /** After the last one. */
  leave(): void {
    if (--this.#tasks === 0) storeU32(this.#memory.u32, this.#entry, 0)
  }

  /** To be called while entered: the next {@link enter} needs no slot that could be missing. */
  keep(): void {
    this.#returning++
  }
  /** Ends one {@link keep}. */
  unkeep(): void {
    this.#returning--
  }

  tryReturn(): boolean {
    if (this.#tasks > 0 || this.#returning > 0) return false
    this.#entry = 0
    return true
  }
}

/** The entries of any CPU: for its reaper they are exact, for watchers a guess. */
export function readHeldLocks(memory: Memory, record: number): FoundLock[] {
  const found: FoundLock[] = []
  for (let slot = 0; slot < HELD_LOCK_ENTRIES; slot++) {
    const at = record + SyncCpu.words.heldLocks + slot * stride
    const lock = loadU32(memory.u32, at + word)
    if (lock !== 0) found.push({ at, lock, kind: loadU32(memory.u32, at + kind) })
  }
  return found
}
export interface FoundLock {
  /** Word index of the entry. */
  readonly at: number
  /** Word index of the lock. */
  readonly lock: number
  readonly kind: number
}

/** For the reaper: the entry is done with. */
export function clearHeldLock(memory: Memory, { at }: FoundLock): void {
  storeU32(memory.u32, at + word, 0)
  storeU32(memory.u32, at + kind, KIND_MUTEX)
}
