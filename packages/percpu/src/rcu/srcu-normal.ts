/**
 * The normal flavour of SRCU: readers count themselves by atomic additions, and work on deaf CPUs
 * too. A scan needs no other CPU's help: counts are read by read-modify-writes.
 *
 * No wake-up is lost: a reader leaves, then looks at the sequence. If the grace period that misses
 * it is in a scan of its rank already, it takes the bits of those who asked. Else that scan comes
 * later, and counts it.
 */
import { loadAtomic32 } from '#mem'
import { drainingRankOf, isIdle, rankOf, SCAN1 } from '../cpus/sequence.js'
import type { SrcuScans } from './srcu-driver.js'
import { SrcuLayout } from './srcu-layouts.js'
import { Srcu, type SrcuParts } from './srcu.js'
import { ensureStack, FEW } from '../stack.js'

/** µs after the end of a grace period; the kernel's. */
const HOLD_OFF = 25

export class NormalSrcu extends Srcu {
  readonly flavour = 'normal'
  readonly #part: number
  readonly #sequence: number
  /** Sections of this thread under way, of each rank. */
  readonly #open = [0, 0]

  constructor(parts: SrcuParts) {
    super(parts)
    this.#part = parts.words.parts[parts.own.cpu] ?? 0
    this.#sequence = parts.words.words + SrcuLayout.words.sequence
  }

  readLock(): number {
    const rank = rankOf(this.#load())
    this.words.enter(this.#part, rank)
    this.#open[rank] = this.#openOf(rank) + 1
    return rank
  }
  readUnlock(token: number): void {
    this.checkToken(token)
    const left = this.#openOf(token) - 1
    this.checkOpen(left + 1, token)
    // Who waits is told. Asking for room in each section would double what a reader takes. Mutant:
    // rcu/srcu-left-too-deep.
    if (left === 0 && this.#isDraining(token)) ensureStack(FEW)
    this.words.leave(this.#part, token)
    this.#open[token] = left
    // Those who wait need all of this CPU's sections to end. Mutant: rcu/srcu-left-untold.
    if (this.#isDraining(token) && this.#openOf(token) === 0) this.wake()
  }
  downRead(): number {
    const rank = rankOf(this.#load())
    this.words.down(this.#part, rank)
    return rank
  }
  upRead(token: number): void {
    this.checkToken(token)
    ensureStack(FEW)
    this.words.up(this.#part, token)
    if (this.#isDraining(token)) this.wake()
  }

  /** A burst of grace periods shares the scans of one CPU; a lone one is done at once. */
  protected override isQuiet(): boolean {
    return !this.words.isWanted && this.words.quiet >= HOLD_OFF
  }

  protected readonly scans: SrcuScans = {
    // Mutant: rcu/srcu-no-first-scan.
    firstPhase: SCAN1,
    scan: (rank) => Promise.resolve(this.#isDrained(rank)),
    scanBlocking: (rank) => this.#isDrained(rank),
  }
  #isDrained(rank: number): boolean {
    // Mutant: rcu/srcu-locks-first.
    const ended = this.words.ended(rank)
    return this.words.begun(rank) === ended
  }

  #isDraining(rank: number): boolean {
    const sequence = this.#load()
    return !isIdle(sequence) && drainingRankOf(sequence) === rank
  }
  #load(): number {
    // atomic: any rank will do, see srcu.ts; on leaving, it is read after SK.
    return loadAtomic32(this.parts.words.memory.i32, this.#sequence)
  }
  #openOf(rank: number): number {
    return this.#open[rank] ?? 0
  }
}
