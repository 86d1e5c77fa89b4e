/**
 * Locks and sections of the layers themselves. A layer's function may be called anywhere: in a read
 * section, inside a section of the caller's that is taken back later, with mutexes held. So a
 * layer's locks and sections differ from those of users:
 *
 *     no idle CPU    a wait is no quiescent state: what the caller has read stays valid
 *     own journal    the caller's section may be taken back, the layer's changes stay
 *     few words      at most {@link LAYER_JOURNAL_ENTRIES} a section, for a short time
 *
 * Each layer that needs this has a record for each CPU: the one spinlock that it holds, and an
 * undo journal (journal.ts). A layer may use those below it while it holds its lock. Locks are
 * taken only in that direction, so nobody waits in a circle.
 *
 *     0 per-CPU memory ──▶ 1 objects ──▶ 2 pages
 *     3 a list of callbacks: nobody waits for it
 *     4 names: no other one is taken under it
 *     a map's bucket, an end of a ring, a map of ranges ──▶ 1 objects: each has a note of its own
 *     page tables of spaces ──▶ names, a map of ranges, 2 pages
 *
 * After a death the reaper replays the journal of each layer, and then releases the layer's lock.
 * It may use the records in the dead CPU's place afterwards. Should it die too, the next reaper
 * does the same again.
 *
 * Progress: blocking. Where the system tells that the owner's thread has ended, who waits does
 * these steps in the reaper's place, and leaves the others to whoever reaps (supervisor.ts).
 * Elsewhere the lock is free only once the owner is reaped. A thread that waits for it may be the
 * only one that could reap. So the wait ends with an error after {@link LOCK_TIMEOUT}, unless the
 * owner is known to live (patience.ts).
 * Cost: two compare-and-exchanges.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { cpuOf } from '../machine/token.js'
import { ensureStack, SOME } from '../stack.js'
import { LockTimeoutError } from './errors.js'
import { Journal, replayJournal } from './journal.js'
import { LAYER_JOURNAL_ENTRIES, LayerRecord, LAYER_LOCKS } from './layouts.js'
import { Patience, type OwnerState, type Rescue } from './patience.js'
import type { SyncMap } from './sync-map.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { compareExchangeAtomic32, loadU32, storeAtomic32, storeU32 } = mem

export const LAYER_PERCPU = 0
export const LAYER_OBJECTS = 1
export const LAYER_PAGES = 2
export const LAYER_CALLBACKS = 3
export const LAYER_NAMES = 4

/** Milliseconds. Sections of layers take microseconds. */
export const LOCK_TIMEOUT = 2000
/**
 * Busy waiting, some microseconds; then naps of so many milliseconds, as the owner seems not to
 * run.
 */
const SPIN = 200
const NAP = 0.05

const { lock: lockField, length, entries } = LayerRecord.words

/**
 * What writes words so that they are taken back unless they are committed: a journal, or a user's
 * section.
 */
export interface SectionWriter {
  /** @internal */
  readonly memory: Memory
  write32(word: number, value: number): void
}

/** What a section of a layer writes by. */
export interface LayerSection extends SectionWriter {
  /** Others may read the word at any time, also what is taken back. It takes two entries. */
  writeAtomic32(word: number, value: number): void
}

export class LayerLock {
  /** Takes the spinlock with this word index, if it is free. */
  readonly tryLock: (word: number) => boolean
  /** Releases the one that is held. */
  readonly unlock: () => void
  readonly #memory: Memory
  readonly #journal: Journal
  /** Milliseconds for which it waits for a lock. */
  readonly #patience: number
  readonly #ownerState: OwnerState
  readonly #rescue: Rescue

  /**
   * For one incarnation of a CPU: its own thread, or its reaper. `record`: word index of its
   * LayerRecord. `ownerState`: what is known of the thread with a token; `rescue`: frees what it
   * has left.
   */
  constructor(
    memory: Memory,
    record: number,
    token: number,
    patience = LOCK_TIMEOUT,
    ownerState: OwnerState = () => undefined,
    rescue: Rescue = () => undefined,
  ) {
    this.#memory = memory
    const { tryLock, unlock } = makeLock(memory, record + lockField, token)
    this.tryLock = tryLock
    this.unlock = unlock
    this.#journal = new Journal(memory, locationOf(record))
    this.#patience = patience
    this.#ownerState = ownerState
    this.#rescue = rescue
  }

  /** Takes the spinlock with this word index. @throws LockTimeoutError. */
  lock(word: number): void {
    if (this.tryLock(word)) return
    const patience = new Patience(this.#patience, this.#ownerState, this.#rescue)
    for (;;) {
      // atomic: what hangs on it is decided by P.
      mem.awaitUntil(() => mem.loadAtomic32(this.#memory.i32, word) === 0, SPIN)
      if (this.tryLock(word)) return
      // atomic: whose it is at the moment.
      if (patience.isOver(mem.loadAtomic32(this.#memory.i32, word))) throw this.#timeout(word)
      this.#nap(word)
    }
  }

  /** Takes it if it is free, or becomes so in a moment. */
  trySpin(word: number): boolean {
    // atomic: what hangs on it is decided by P.
    return mem.awaitUntil(() => mem.loadAtomic32(this.#memory.i32, word) === 0, SPIN) && this.tryLock(word)
  }

  /** Runs `change` under the lock. */
  locked<Result>(word: number, change: () => Result): Result {
    this.lock(word)
    try {
      return change()
    } finally {
      this.unlock()
    }
  }

  /**
   * Runs `change`, whose writes happen as a whole or, if it throws or its thread dies, not at all.
   * Sections do not nest.
   */
  section<Result>(change: (section: LayerSection) => Result): Result {
    const journal = this.#journal
    // For taking it back.
    ensureStack(SOME)
    let result: Result
    try {
      result = change(journal)
    } catch (error) {
      journal.rollback(0)
      journal.commit()
      throw error
    }
    journal.commit()
    return result
  }

  #nap(word: number): void {
    const { i32 } = this.#memory
    try {
      // atomic: a nap; nobody wakes it.
      const owner = mem.loadAtomic32(i32, word)
      if (owner !== 0) mem.wait32(i32, word, owner, NAP)
    } catch (error) {
      // Where blocking is forbidden it goes on spinning.
      if (!(error instanceof TypeError)) throw error
    }
  }

  #timeout(word: number): LockTimeoutError {
    // atomic: a snapshot, for the message.
    const owner = cpuOf(mem.loadAtomic32(this.#memory.i32, word))
    return new LockTimeoutError(
      `a lock of the library has been CPU ${owner}'s for ${LOCK_TIMEOUT} ms: if its thread has ended, return to the event ` +
        `loop, so that it can be cleaned up after`,
      { address: word * 4, owner },
    )
  }
}

/**
 * Taking and releasing, as closures over what they need: an engine keeps that at hand. `announced`:
 * word index of the CPU's note of the lock that it has, or is about to have.
 */
function makeLock(memory: Memory, announced: number, token: number): Pick<LayerLock, 'tryLock' | 'unlock'> {
  let held = 0
  return {
    tryLock: (word) => {
      const { u32, i32 } = memory
      // Before anything that a reaper must know of. Mutant: sync/layer-lock-unannounced.
      storeU32(u32, announced, word)
      // P(spinlock.owner) takes the lock; pairs with Q in makeLock: what it protects is this CPU's
      // to read and write. Mutant: sync/layer-lock-without-exchange.
      if (compareExchangeAtomic32(i32, word, 0, token) !== 0) {
        storeU32(u32, announced, 0)
        return false
      }
      held = word
      return true
    },
    unlock: () => {
      const { u32, i32 } = memory
      const word = held
      held = 0
      // Q(spinlock.owner) releases the lock; pairs with P in makeLock: what it protects is the next
      // owner's. Mutant: sync/layer-lock-without-exchange.
      storeAtomic32(i32, word, 0)
      storeU32(u32, announced, 0)
    },
  }
}

function locationOf(record: number): { length: number; first: number; capacity: number } {
  return { length: record + length, first: record + entries, capacity: LAYER_JOURNAL_ENTRIES }
}

/**
 * For the reaper: takes back what the dead CPU had not committed, and then frees its locks. Can be
 * repeated.
 */
export function recoverLayerLocks(memory: Memory, map: SyncMap, cpu: number, token: number): number {
  let restored = 0
  for (let layer = 0; layer < LAYER_LOCKS; layer++) {
    const record = map.layerRecord(cpu, layer)
    restored += replayJournal(memory, locationOf(record))
    releaseAnnounced(memory, record, token)
  }
  return restored
}

/**
 * For the reaper: frees the lock that the dead CPU had, or was about to take. `record`: word index
 * of what it announced it in. Can be repeated.
 */
export function releaseAnnounced(memory: Memory, record: number, token: number): void {
  const lock = loadU32(memory.u32, record + lockField)
  if (lock === 0) return
  // atomic: as Q, in the dead owner's place, unless it had not got the lock, or had released it.
  compareExchangeAtomic32(memory.i32, lock, token, 0)
  storeU32(memory.u32, record + lockField, 0)
}
