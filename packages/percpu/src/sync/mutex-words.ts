/**
 * The mutex, as a protocol on shared words. (mutex.ts is what users hold, recovery.ts what a reaper
 * does.)
 *
 *     owner      0 ──take──▶ token ──release──▶ 0 or WAITERS
 *                               └──────▶ RESERVED | CPU ──take──▶ token
 *                token: machine/token.ts; RESERVED: for a CPU that lost it before;
 *                WAITERS: somebody may sleep; OWNER_DIED: the last owner did not release it
 *     waiters    a bit per CPU that sleeps, or is about to
 *     impatient  those of them that were woken and came too late
 *
 * Taking is one compare-and-exchange, releasing another one, while nobody waits. A waiter enters
 * its bit, sets WAITERS, and sleeps on its own bell. The releaser lets the word go and rings *one*
 * waiter, the next CPU behind its own, round and round. It rings all of them if that one is not
 * asleep, as one whose tasks wait: it may compute for long before it hears. Running threads may be
 * faster than the one that was rung: that keeps the lock busy. But the loser becomes impatient, and
 * while there is an impatient CPU a releaser does not let the word go: it reserves it for the next
 * impatient CPU behind its own. Only that one can take it.
 *
 * No starvation: each release that begins after a CPU has become impatient hands the lock to the
 * next impatient CPU in cyclic order; none is passed over, so its turn comes after at most
 * `cpus - 1` others. Taking the mutex ends a CPU's impatience, also when more of its tasks wait.
 * One release that had looked for impatient CPUs just before may still let somebody else in. That
 * one learns of the waiters, because a word that is let go keeps WAITERS while there are any:
 * nobody can take it and release it again by exchanging 0, which asks for nobody.
 *
 * No wake-up lost: suppose a CPU sleeps. It entered its bit and then saw the word taken with
 * WAITERS set (it set that itself if need be). So the release that follows sees WAITERS, and scans
 * the bits after it let the word go. Whoever is rung takes the word with WAITERS set again if
 * others wait, or sets it when it sleeps again, or rings the next one when it gives up.
 *
 * A thread may die anywhere. It enters the mutex in its list (held-locks.ts) before it touches the
 * first of these words, and takes it off when it is done with the last. Its reaper looks at exactly
 * the mutexes of that list (recovery.ts). A reservation names a CPU, not an incarnation: its bit
 * says whether somebody still waits there.
 */
import { compareExchangeAtomic32, loadAtomic32, storeAtomic32, type Memory } from '#mem'
import { REASON_WAKE, type Ringer } from '../cpus/ringer.js'
import { cpuOf, TOKEN } from '../machine/token.js'
import { clearBit, hasBit, hasOthers, nextBit, ringOne, setBit } from './cpu-mask.js'
import { MutexLayout } from './layouts.js'

export const WAITERS = 1 << 31
export const OWNER_DIED = 1 << 30
export const RESERVED = 1 << 29

const { waiters, impatient } = MutexLayout.words

export function isReserved(owner: number): boolean {
  return (owner & RESERVED) !== 0
}
/** The token in an owner word; 0 if nobody owns the mutex: free, or reserved. */
export function ownerToken(owner: number): number {
  return isReserved(owner) ? 0 : owner & TOKEN
}
/** The CPU that owns the mutex, by its owner word. */
export function ownerCpu(owner: number): number | undefined {
  const token = ownerToken(owner)
  return token === 0 ? undefined : cpuOf(token)
}

/** One CPU's (or its reaper's) dealings with mutexes, each given by the index of its first word. */
export class MutexProtocol {
  readonly #memory: Memory
  readonly #ringer: Ringer
  readonly #cpus: number
  readonly #cpu: number
  readonly #token: number

  constructor(memory: Memory, ringer: Ringer, cpus: number, cpu: number, token: number) {
    this.#memory = memory
    this.#ringer = ringer
    this.#cpus = cpus
    this.#cpu = cpu
    this.#token = token
  }

  owner(word: number): number {
    // atomic: what hangs on it is decided by A.
    return loadAtomic32(this.#memory.i32, word)
  }

  /** Whether {@link take} may succeed. */
  isAvailable(word: number): boolean {
    return this.#isFor(this.owner(word))
  }

  /**
   * Takes the mutex if it is free or reserved for this CPU; returns what the owner word was, or
   * undefined.
   */
  take(word: number): number | undefined {
    const before = this.#exchange(word)
    // Served, even if other tasks of this CPU still wait: they must not keep the claim. Mutant:
    // sync/served-and-impatient.
    // atomic: the owner alone reserves, and that is this CPU now.
    if (before !== undefined && hasBit(this.#memory, word + impatient, this.#cpu))
      clearBit(this.#memory, word + impatient, this.#cpu)
    return before
  }

  #exchange(word: number): number | undefined {
    for (;;) {
      const owner = this.owner(word)
      if (!this.#isFor(owner)) return undefined
      const others = hasOthers(this.#memory, word + waiters, this.#cpu, this.#cpus)
      const taken = this.#token | (owner & WAITERS) | (others ? WAITERS : 0)
      // A(mutex.owner) takes the mutex; pairs with B in release: what it protects, as its last
      // owner left it, is this CPU's to read and write. Mutant: sync/take-without-exchange.
      if (compareExchangeAtomic32(this.#memory.i32, word, owner, taken) === owner) return owner
    }
  }

  /** Whether this incarnation owns it. */
  isOwn(word: number): boolean {
    return (this.owner(word) & TOKEN) === this.#token
  }

  /** Asks to be rung when the mutex is released. */
  enter(word: number): void {
    // C(mutex.waiters) asks for a ring; pairs with D in wakeNext: set before the owner word is
    // looked at, so a release that this CPU did not see yet finds the bit. Mutant:
    // sync/wake-before-release.
    setBit(this.#memory, word + waiters, this.#cpu)
  }

  /**
   * Whether the mutex can be taken; if not, makes sure that its owner knows that somebody waits.
   */
  isAvailableOrMarked(word: number): boolean {
    for (;;) {
      const owner = this.owner(word)
      if (this.#isFor(owner)) return true
      if ((owner & WAITERS) !== 0) return false
      // atomic: WAITERS only says that the bits are worth a look; C and D order the rest. A failure
      // means that the word moved on.
      compareExchangeAtomic32(this.#memory.i32, word, owner, owner | WAITERS)
    }
  }

  /**
   * This CPU was rung and came too late: the next release, or the one after that …, is for it
   * alone.
   */
  insist(word: number): void {
    // atomic: read by release after a later ring at the latest; F orders its end.
    setBit(this.#memory, word + impatient, this.#cpu)
  }

  /** The end of waiting, after taking the mutex. */
  leave(word: number): void {
    clearBit(this.#memory, word + impatient, this.#cpu)
    clearBit(this.#memory, word + waiters, this.#cpu)
  }

  /**
   * The end of waiting without having taken it: a reservation or a ring meant for this CPU is
   * passed on.
   */
  withdraw(word: number): void {
    // F(mutex.impatient) gives up the claim; pairs with E in release: cleared before the owner word
    // is looked at, so a reservation that this does not see is undone by who made it. Mutants:
    // sync/withdraw-unchecked, sync/reservation-unchecked.
    this.leave(word)
    this.#cancel(word, this.#cpu)
    this.wakeNext(word)
  }

  /** Lets the mutex go: to the next impatient CPU, or to whoever is first. */
  release(word: number): void {
    const heir = nextBit(this.#memory, word + impatient, this.#cpu, this.#cpus)
    if (heir >= 0) {
      // E(mutex.impatient) reserves the mutex; pairs with F in withdraw: only the heir can take it
      // from here on; the bit is read again after it, so that an heir that has gone meanwhile does
      // not keep it. Mutant: sync/reservation-unchecked.
      storeAtomic32(this.#memory.i32, word, RESERVED | WAITERS | heir)
      if (hasBit(this.#memory, word + impatient, heir)) {
        this.#ringer.ring(heir, REASON_WAKE)
        return
      }
      this.#cancel(word, heir)
    } else {
      const others = hasOthers(this.#memory, word + waiters, this.#cpu, this.#cpus)
      // B(mutex.owner) releases the mutex; pairs with A in #exchange: what it protects is the next
      // owner's, who is told that others wait. Mutants: sync/take-without-exchange,
      // sync/waiters-forgotten.
      storeAtomic32(this.#memory.i32, word, others ? WAITERS : 0)
    }
    this.wakeNext(word)
  }

  /** Rings one waiter, if there is any: one that can run at once, or all. */
  wakeNext(word: number): void {
    // D(mutex.waiters) pairs with C in enter: read after the word was let go, so a waiter that does
    // not see that is seen here. Mutant: sync/wake-before-release.
    ringOne(this.#memory, this.#ringer, word + waiters, this.#cpu, this.#cpus)
  }

  /**
   * For the reaper of this CPU: nobody here owns the mutex or waits for it any more, and no
   * reservation is left for a CPU that does not want it. Returns whether the dead CPU owned it. Can
   * be repeated.
   */
  recover(word: number): boolean {
    this.leave(word)
    let owned = false
    for (;;) {
      const owner = this.owner(word)
      if (isReserved(owner)) {
        this.#cancel(word, cpuOf(owner))
        break
      }
      if ((owner & TOKEN) !== this.#token) break
      // atomic: as B, with the mark for the next owner: what the mutex protects was rolled back
      // before. Mutant: sync/owner-death-ignored.
      if (compareExchangeAtomic32(this.#memory.i32, word, owner, OWNER_DIED) === owner) owned = true
    }
    this.wakeNext(word)
    return owned
  }

  /** Frees the mutex if it is reserved for a CPU that is not impatient (any more). */
  #cancel(word: number, heir: number): void {
    for (;;) {
      const owner = this.owner(word)
      if (!isReserved(owner) || cpuOf(owner) !== heir) return
      if (hasBit(this.#memory, word + impatient, heir)) return
      // atomic: E and F; whoever waits is rung by the caller afterwards.
      const free = owner & (OWNER_DIED | WAITERS)
      if (compareExchangeAtomic32(this.#memory.i32, word, owner, free) === owner) return
    }
  }

  #isFor(owner: number): boolean {
    return isReserved(owner) ? cpuOf(owner) === this.#cpu : (owner & TOKEN) === 0
  }
}
