/**
 * Grace periods with a number that all CPUs share. Nobody in particular drives them: whoever waits
 * for one begins it, or joins in, and ends it.
 *
 *     idle ──exchange──▶ under way ──a grace period of one's own──▶ exchange: the next number
 *
 * The grace period of each who waits begins after the number said that one is under way. So the
 * first one to get through may end it. If a driver dies or blocks, the others do not notice.
 */
import { addAtomic32, compareExchangeAtomic32, loadAtomic32, type Memory } from '#mem'
import { endOf, isDone, isIdle, later, nextPhase, snap } from '../cpus/sequence.js'
import type { GracePeriodSource } from './source.js'

export class SharedSequence implements GracePeriodSource {
  readonly #memory: Memory
  readonly #word: number
  readonly #synchronize: () => Promise<void>
  #wanted: number | undefined
  #driving: Promise<void> | undefined

  /** `word`: index of the number. `synchronize`: a grace period, without a number. */
  constructor(memory: Memory, word: number, synchronize: () => Promise<void>) {
    this.#memory = memory
    this.#word = word
    this.#synchronize = synchronize
  }

  snap(): number {
    // CE(rcu.sequence) hands over what this thread has unlinked; pairs with CF in #begin: a grace
    // period that begins later finds it. Mutant: rcu/snap-at-once.
    return snap(addAtomic32(this.#memory.i32, this.#word, 0))
  }

  isDone(cookie: number): boolean {
    return isDone(this.#now(), cookie)
  }

  request(cookie: number): void {
    this.#wanted = this.#wanted === undefined ? cookie : later(this.#wanted, cookie)
    if (this.#driving || this.isDone(this.#wanted)) return
    this.#driving = this.#drive()
    // Whoever waits for it is told.
    this.#driving.catch(() => undefined)
  }

  async whenDone(cookie: number): Promise<void> {
    while (!this.isDone(cookie)) {
      this.request(cookie)
      await this.#driving
    }
  }

  async #drive(): Promise<void> {
    try {
      while (this.#wanted !== undefined && !this.isDone(this.#wanted)) {
        const underWay = this.#begin()
        await this.#synchronize()
        // CG(rcu.sequence) ends it, unless somebody else has; pairs with CH in #now: what was
        // unlinked before it may be freed. Mutant: rcu/end-at-once.
        compareExchangeAtomic32(this.#memory.i32, this.#word, underWay, endOf(underWay))
      }
    } finally {
      this.#wanted = undefined
      this.#driving = undefined
    }
  }

  /** Returns the number of the grace period under way, which this thread goes on with. */
  #begin(): number {
    for (;;) {
      const now = this.#now()
      if (!isIdle(now)) return now
      // CF(rcu.sequence) begins it; pairs with CE in snap: cookies taken from here on are for the
      // next one. Mutant: rcu/snap-at-once.
      if (compareExchangeAtomic32(this.#memory.i32, this.#word, now, nextPhase(now)) === now)
        return nextPhase(now)
    }
  }

  #now(): number {
    // CH(rcu.sequence) pairs with CG in #drive: readers that the grace period waited for are over.
    // Mutant: rcu/end-at-once.
    return loadAtomic32(this.#memory.i32, this.#word)
  }
}
