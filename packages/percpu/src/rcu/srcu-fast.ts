/**
 * The fast flavour of SRCU: readers count themselves by plain additions to words of their CPU. What
 * orders them is a grace period of the event loop in each scan, which makes every CPU pass a
 * quiescent state.
 *
 *     reader    rank of this thread; locks[rank]++ … unlocks[rank]++; if the rank has changed
 *               meanwhile, tells those who ask
 *     at each quiescent state, after the CPU has found what asked for it: rank = that of `sequence`
 *     scan      ended = Σ unlocks; grace period; drained if Σ locks = ended
 *
 * Take a CPU, and its quiescent state in a scan's grace period.
 *
 * What a scan counts as ended has ended. The driver saw the unlock before the grace period began,
 * so the unlock came before the quiescent state: a load does not read from what happens after it.
 * So the section's reads happen before the end of the grace period, and `Σ locks` has its lock.
 *
 * What a scan does not count began after the quiescent state, and finds all that was written before
 * the grace period.
 *
 * One scan will do. After the quiescent state the CPU uses the new rank. So when the scan ends, no
 * section of the old rank is under way, and none can begin. A section of the rank that is new now
 * has begun after the last flip was found, or has been waited for by the last scan. Hence a grace
 * period flips at once. All this needs the refresh to come after the CPU has found the flip.
 * Mutant: rcu/srcu-refresh-early.
 *
 * No wake-up is lost. Before the grace period the driver has asked. An unlock before the quiescent
 * state is counted when the driver looks once more, before it sleeps. One after it finds that the
 * rank has changed, and takes the bit.
 *
 * An idle CPU comes back by a read-modify-write that finds the flip, and refreshes. A deaf one must
 * not begin sections. It may end some: by an atomic addition, as a normal reader.
 *
 * Cost: measured by bench/src/rcu-sections.ts. All of a section is compiled into its caller; what
 * is left is the processor's time from a store to the next load of the same word. The classes close
 * over their memory, see percpu/scalar-classes.ts. Counts are cut to 32 bits, so that the compiler
 * need not look for an overflow, nor start anew at the first one.
 */
import type { Memory } from '#mem'
import * as mem from '#mem'
import { drainingRankOf, isIdle, rankOf, SCAN2 } from '../cpus/sequence.js'
import type { Deadline } from '../machine/wait-options.js'
import type { SrcuScans } from './srcu-driver.js'
import { SrcuMisuseError } from './srcu-errors.js'
import { SrcuCpuLayout } from './srcu-layouts.js'
import { Srcu, type SrcuParts } from './srcu.js'
import { visible } from '../shown.js'
import { ensureStack, FEW } from '../stack.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { locks, unlocks } = SrcuCpuLayout.words
/** From a count of locks to that of the unlocks of its rank. */
const UNLOCKS = unlocks - locks
/**
 * In place of a rank while the CPU is in an idle stretch. Should somebody pass it for a token, the
 * word that it leads to lies outside of the memory.
 */
const AWAY = -(2 ** 30)

/** What readers of this memory do. */
export abstract class FastSrcu extends Srcu {
  readonly flavour = 'fast'
  /**
   * Of new sections, or {@link AWAY}. Plain fields, small integers from the start: readers use them
   * all the time, and need not check what they are.
   */
  protected rank = 0
  /** Word index of its count of locks. That of unlocks is {@link UNLOCKS} behind it. */
  protected lockWord = 0
  readonly #part: number

  constructor(parts: SrcuParts) {
    super(parts)
    this.#part = parts.words.parts[parts.own.cpu] ?? 0
    this.refresh()
    // Mutant: rcu/srcu-no-refresh.
    this.atClose(parts.own.gracePeriods.onQuiescent(() => this.refresh()))
  }

  downRead(): number {
    const { rank } = this
    if (rank === AWAY) throw this.refusal()
    this.words.down(this.#part, rank)
    return rank
  }
  upRead(token: number): void {
    this.checkToken(token)
    ensureStack(FEW)
    this.words.up(this.#part, token)
    if (this.#isDraining(token)) this.wake()
  }

  /** At each quiescent state; also of a CPU that goes idle, or comes back. */
  refresh(): void {
    const rank = this.parts.own.idle.isIdle ? AWAY : rankOf(this.words.sequence)
    this.rank = rank
    this.lockWord = this.#part + locks + rank
  }

  /** A section ends whose rank is not that of new ones. */
  protected unlockSlowly(token: number): void {
    this.checkToken(token)
    const { words } = this
    this.checkOpen(words.open(this.#part, token), token)
    // Who waits is told. Mutant: rcu/srcu-unlocked-too-deep.
    ensureStack(FEW)
    const { i32 } = words.memory
    const word = this.#part + unlocks + token
    // On an idle CPU no quiescent state would order a plain addition. Mutant: rcu/srcu-deaf-plain.
    if (this.rank === AWAY) words.leave(this.#part, token)
    else store32(i32, word, (load32(i32, word) + 1) | 0)
    // Those who wait need all of this CPU's sections to end. Mutant: rcu/srcu-untold.
    if (words.open(this.#part, token) === 0) this.wake()
  }
  protected refusal(): SrcuMisuseError {
    const { name } = this
    return new SrcuMisuseError(
      `${visible(name)}: this CPU is deaf, so grace periods do not wait for fast sections of it; open the domain with flavour: 'normal'`,
      { name },
    )
  }

  protected override hurry(): void {
    // Whoever scans waits for it. Mutant: rcu/srcu-not-hurried.
    this.parts.own.gracePeriods.expedite()
  }

  protected readonly scans: SrcuScans = {
    firstPhase: SCAN2,
    scan: (rank, deadline) => this.#scan(rank, deadline),
    scanBlocking: (rank, deadline, sleep) => {
      for (;;) {
        const ended = this.#beforeWait(rank)
        this.parts.own.gracePeriods.synchronizeBlocking(sleep, deadline, this.words.isExpedited)
        const found = this.#afterWait(rank, ended)
        if (found !== undefined) return found
      }
    },
  }
  async #scan(rank: number, deadline: Deadline): Promise<boolean> {
    for (;;) {
      const ended = this.#beforeWait(rank)
      // Mutant: rcu/srcu-no-grace-period.
      await this.parts.own.gracePeriods.synchronize(deadline, this.words.isExpedited)
      const found = this.#afterWait(rank, ended)
      if (found !== undefined) return found
    }
  }
  #beforeWait(rank: number): number {
    // This CPU passes its quiescent state here.
    this.refresh()
    return this.words.ended(rank)
  }
  /** Undefined: one more scan will do. */
  #afterWait(rank: number, ended: number): boolean | undefined {
    const begun = this.words.begun(rank)
    if (begun === ended) return true
    return begun === this.words.ended(rank) ? undefined : false
  }

  #isDraining(rank: number): boolean {
    const { sequence } = this.words
    return !isIdle(sequence) && drainingRankOf(sequence) === rank
  }
}

type FastClass = new (parts: SrcuParts) => FastSrcu

function classOf(memory: Memory): FastClass {
  const fixed = memory
  return class extends FastSrcu {
    readLock(): number {
      const { rank } = this
      if (rank < 0) throw this.refusal()
      const { i32 } = fixed
      const word = this.lockWord
      store32(i32, word, (load32(i32, word) + 1) | 0)
      return rank
    }
    readUnlock(token: number): void {
      if (token !== this.rank) {
        this.unlockSlowly(token)
        return
      }
      const { i32 } = fixed
      const word = (this.lockWord + UNLOCKS) | 0
      store32(i32, word, (load32(i32, word) + 1) | 0)
    }
  }
}

const known = new WeakMap<Memory, FastClass>()

/** A domain of the class of its memory. */
export function makeFastSrcu(parts: SrcuParts): FastSrcu {
  const { memory } = parts.words
  const Class = known.get(memory) ?? classOf(memory)
  known.set(memory, Class)
  return new Class(parts)
}
