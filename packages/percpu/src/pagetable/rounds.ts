/**
 * Rounds: waiting until nobody uses any more what the tables of a space led to before. (After the
 * kernel's TLB shootdown, and its serialize_against_pte_lookup.)
 *
 *     change entries ──▶ generation + 1, rounds + 1 ──▶ ring the users ──▶ each has seen it, or is
 *                                                                      idle, and counts no walk
 *
 * Only CPUs that use the space are rung, and nobody if there is none but the caller. A CPU in an
 * idle stretch has no walk under way, but counted ones if it is deaf. It has forgotten its
 * translations when it went idle, and looks at the generation when it comes back.
 *
 * Guarantee: walks that began before the round have ended when it is over, and happen before what
 * follows. Walks that begin later find what was changed before it.
 *
 * Why `generation` may wrap around: who waits compares numbers less than 2^31 rounds apart, and a
 * user that has missed exactly 2^32 rounds has kept all of their callers waiting.
 */
import { addAtomic32, awaitUntil, loadAtomic32, orAtomic32, storeAtomic32, type Memory } from '#mem'
import type { OwnCpu } from '../cpus/own-cpu.js'
import { REASON_QUIESCE } from '../cpus/ringer.js'
import { UnansweredError } from '../machine/errors.js'
import { MASK_WORDS } from '../machine/limits.js'
import type { Deadline } from '../machine/wait-options.js'
import { PagingRoot, SpaceCpu, SpaceTable } from './layouts.js'
import { noteShot, publishShot, type Pages } from './shootdown.js'
import { spaceCpu } from './use.js'

const { generation, users, drain } = SpaceTable.words
/** Busy waiting for the end of a walk, some microseconds, before it is asked whether to go on. */
const SPIN = 200

/** A CPU that a round waits for. */
interface Target {
  readonly cpu: number
  /** The number of the round. */
  readonly generation: number
  /** The count of a deaf CPU's walk that has not ended; undefined: the CPU has not answered. */
  walk: number | undefined
}

export class Rounds {
  readonly #own: OwnCpu
  readonly #memory: Memory
  readonly #rounds: number
  /** How many CPUs were rung so far. */
  rung = 0

  /** `root`: word index of the PagingRoot. */
  constructor(own: OwnCpu, root: number) {
    this.#own = own
    this.#memory = own.memory
    this.#rounds = root + PagingRoot.words.rounds
  }

  /** How many rounds this machine has had, modulo 2^32. */
  get count(): number {
    // atomic: ordered by N in acknowledge.
    return loadAtomic32(this.#memory.i32, this.#rounds)
  }

  /**
   * A round of the space whose SpaceTable has this word index. `acknowledge` is called once the
   * round has begun: the caller forgets what it knows itself. Mutant: pagetable/own-unflushed.
   * `pages`: those that the caller, which changes the space, has changed; else all are forgotten.
   *
   * @throws UnansweredError at the deadline; the reason of its signal; OfflineError.
   */
  async wait(table: number, deadline: Deadline, acknowledge: () => void, pages?: Pages): Promise<void> {
    const targets = this.begin(table, pages)
    acknowledge()
    if (targets.length === 0) return
    const { doorbell, table: cpus } = this.#own
    const masks = targets.map(({ cpu }) => cpus.waiters(cpu))
    const done = (): boolean => targets.every((target) => this.#isDone(table, target))
    const isDone = await doorbell.until(masks, done, deadline)
    this.#own.assertOnline()
    if (isDone || done()) return
    const late = targets.filter((target) => !this.#isDone(table, target)).map(({ cpu }) => cpu)
    throw new UnansweredError(
      `CPU ${late.join(', ')} may still use what was mapped: it did not return to its event loop`,
      { cpus: late, timeout: deadline.timeout },
    )
  }

  /**
   * As {@link wait}, for a thread that blocks meanwhile. `isOver` is asked between two looks:
   * whether to give up waiting for a CPU. Returns whether the round is over.
   */
  block(table: number, acknowledge: () => void, isOver: (cpu: number) => boolean): boolean {
    let targets = this.begin(table)
    for (;;) {
      // Others may block for a round of this CPU.
      acknowledge()
      targets = targets.filter((target) => !this.#isDone(table, target))
      const [first] = targets
      if (first === undefined) return true
      if (isOver(first.cpu)) return false
    }
  }

  /**
   * Blocks until the counted walks of a space that are under way have ended, those of CPUs that
   * answer their bells, too. `isOver` is asked as in {@link block}. Returns whether they have.
   */
  drain(table: number, isOver: (cpu: number) => boolean): boolean {
    for (const cpu of this.#users(table)) {
      const at = spaceCpu(table, cpu)
      const walk = this.#walksOf(at)
      if ((walk & 1) === 0) continue
      while (!awaitUntil(() => this.#walksOf(at) !== walk, SPIN)) if (isOver(cpu)) return false
    }
    return true
  }
  *#users(table: number): Generator<number> {
    for (let word = 0; word < MASK_WORDS; word++) {
      // M(space.users) pairs with L in SpaceUse.begin: a CPU whose bit is not there finds what was
      // changed, when it begins to walk. Mutant: pagetable/use-unannounced.
      let bits = orAtomic32(this.#memory.i32, table + users + word, 0)
      for (; bits !== 0; bits &= bits - 1) yield word * 32 + 31 - Math.clz32(bits & -bits)
    }
  }

  /** Begins a round, and rings those that are to answer. */
  begin(table: number, pages?: Pages): Target[] {
    const { i32 } = this.#memory
    if (pages !== undefined) noteShot(this.#memory, table, pages)
    // O(space.generation) hands over what was changed; pairs with N in acknowledge: who finds this
    // number finds that, too. Mutant: pagetable/unflushed.
    const number = (addAtomic32(i32, table + generation, 1) + 1) | 0
    if (pages !== undefined) publishShot(this.#memory, table, number)
    // atomic: the same for all spaces of a CPU, which looks at it first.
    addAtomic32(i32, this.#rounds, 1)
    const targets: Target[] = []
    for (const cpu of this.#users(table))
      if (cpu !== this.#own.cpu) targets.push({ cpu, generation: number, walk: undefined })
    // Mutant: pagetable/round-unwaited.
    const pending = targets.filter((target) => !this.#isDone(table, target))
    for (const { cpu, walk } of pending) {
      // Who counts its walk hears nothing.
      if (walk !== undefined) continue
      this.#own.doorbell.ringer.ring(cpu, REASON_QUIESCE)
      this.rung++
    }
    return pending
  }

  /** Whether a CPU has ended what it had begun to walk before the round. */
  #isDone(table: number, target: Target): boolean {
    const { cpu, generation: number } = target
    const at = spaceCpu(table, cpu)
    if (target.walk === undefined) {
      if (this.#hasSeen(at, number) || !this.#isUser(table, cpu)) return true
      // While it is active it also walks uncounted.
      if (this.#own.gracePeriods.isActive(cpu)) return false
      const walks = this.#walksOf(at)
      if ((walks & 1) === 0) return true
      target.walk = walks
    }
    return this.#isDrained(table, at, target.walk)
  }

  #isUser(table: number, cpu: number): boolean {
    // X(space.users) pairs with W in endUse: who has left, or died, uses nothing of it any more.
    // Mutant: pagetable/left-waited-for.
    return (loadAtomic32(this.#memory.i32, table + users + (cpu >>> 5)) & (1 << (cpu & 31))) !== 0
  }
  #hasSeen(at: number, number: number): boolean {
    // Q(space.seen) pairs with P in SpaceUse.acknowledge: what the CPU found before is used no
    // more. Mutants: pagetable/seen-of-another, pagetable/seen-before.
    const seen = loadAtomic32(this.#memory.i32, at + SpaceCpu.words.seen)
    return ((seen - number) | 0) >= 0
  }
  #walksOf(at: number): number {
    // H(space.walks) looks for a counted walk; pairs with G in beginLocklessWalk, I in
    // endLocklessWalk: what an ended walk used may be used for something else, and a walk that
    // begins after this finds what was changed. Mutant: pagetable/walks-unasked.
    return loadAtomic32(this.#memory.i32, at + SpaceCpu.words.walks)
  }
  #isDrained(table: number, at: number, walk: number): boolean {
    // K(space.drain) asks for a ring, before the count is looked at; pairs with J in
    // endLocklessWalk: who ends its walk rings, or that is found here. Mutant:
    // pagetable/drain-unasked.
    storeAtomic32(this.#memory.i32, table + drain, 1)
    return this.#walksOf(at) !== walk
  }
}
