/**
 * The words of one SRCU domain, and the steps that change them. None waits, and each can be
 * repeated: a thread may be killed between any two of them.
 *
 *     sequence    moved by compare-and-exchange only, from the value in which its mover found the
 *                 rank drained. So of several movers one wins, and a late one does nothing.
 *     needed      only grows
 *     waiters     of CPUs that scan: a bit is set before its CPU looks at counts and sequence, and
 *                 taken by whoever changes them
 *
 * Counts are read by additions of 0. A load would not do: a section that begins after a look must
 * find what was written before it, and nothing but a read-modify-write tells it (docs/litmus.md).
 */
import * as mem from '#mem'
import type { Memory } from '#mem'
import {
  addAtomic32,
  andAtomic32,
  compareExchangeAtomic32,
  exchangeAtomic32,
  loadAtomic32,
  orAtomic32,
  storeAtomic32,
} from '#mem'
import { FIRST_SEQUENCE, isDone, isDoneExact, isIdle, snap } from '../cpus/sequence.js'
import { REASON_WAKE, type Ringer } from '../cpus/ringer.js'
import { unixTime } from '../machine/clock.js'
import { SrcuCpuLayout, SrcuLayout } from './srcu-layouts.js'

const { load32, loadU32, storeU32 } = mem
const fields = SrcuLayout.words
const { locks, unlocks, atomicLocks, atomicUnlocks, downs, ups, ended } = SrcuCpuLayout.words

/** Before another thread can find the domain. `words`: word index. */
export function initialiseSrcu({ i32, u32 }: Memory, words: number, flavour: number): void {
  storeU32(u32, words + fields.flavour, flavour)
  // atomic: no other thread can find it yet.
  storeAtomic32(i32, words + fields.sequence, FIRST_SEQUENCE)
  storeAtomic32(i32, words + fields.needed, FIRST_SEQUENCE)
  storeAtomic32(i32, words + fields.neededExpedited, FIRST_SEQUENCE)
}

export class SrcuWords {
  readonly memory: Memory
  /** Word index of the SrcuLayout. */
  readonly words: number
  /** Word index of each CPU's SrcuCpuLayout. */
  readonly parts: readonly number[]
  readonly #masks: number
  /** Word index of when the last grace period ended. */
  readonly #ended: number

  constructor({ memory, words, parts }: Pick<SrcuWords, 'memory' | 'words' | 'parts'>) {
    this.memory = memory
    this.words = words
    this.parts = parts
    this.#masks = (parts.length + 31) >>> 5
    this.#ended = (parts[0] ?? 0) + ended
  }

  get sequence(): number {
    // SF(srcu.sequence) pairs with SE in move: whatever happened before the move has happened; what
    // was waited for may be freed. Mutant: rcu/srcu-plain-sequence.
    return loadAtomic32(this.memory.i32, this.words + fields.sequence)
  }
  get needed(): number {
    // atomic: whoever raises it looks at the sequence afterwards, as whoever moves that looks here.
    return loadAtomic32(this.memory.i32, this.words + fields.needed)
  }
  /** Whether somebody has asked for a grace period that is not over. */
  get isWanted(): boolean {
    return !isDone(this.sequence, this.needed)
  }
  get isExpedited(): boolean {
    // It stays behind while nobody is in a hurry, for more than half of all numbers.
    // atomic: a matter of speed only.
    return !isDoneExact(this.sequence, loadAtomic32(this.memory.i32, this.words + fields.neededExpedited))
  }

  /** The cookie of a grace period that waits for all sections that are under way now. */
  snap(): number {
    // SG(srcu.sequence) hands over what this CPU has written plainly; pairs with SE in move: the
    // grace period begins after it. A load would hand over nothing. Mutant: rcu/srcu-snap-by-load.
    return snap(addAtomic32(this.memory.i32, this.words + fields.sequence, 0))
  }

  /** Asks for grace periods until the cookie is done. */
  request(cookie: number, expedited: boolean): void {
    this.#raise(fields.needed, cookie)
    if (expedited) this.#raise(fields.neededExpedited, cookie)
  }
  #raise(field: number, cookie: number): void {
    const { i32 } = this.memory
    const word = this.words + field
    for (;;) {
      // atomic: as in needed; it only grows.
      const found = loadAtomic32(i32, word)
      if (isDone(found, cookie) || compareExchangeAtomic32(i32, word, found, cookie) === found) return
    }
  }

  /** Goes from one phase to the next, unless somebody has; tells all waiters, except `self`. */
  move(from: number, to: number, ringer: Ringer, self: number): boolean {
    // SE(srcu.sequence) pairs with SF in sequence, SG in snap, SE in move: what updaters wrote
    // before they asked happens before the grace period, that before the next one, and all before
    // what follows a look that finds it done. Mutants: rcu/srcu-plain-sequence,
    // rcu/srcu-snap-by-load.
    if (compareExchangeAtomic32(this.memory.i32, this.words + fields.sequence, from, to) !== from)
      return false
    // They help with the next phase, or are done. Mutant: rcu/srcu-move-untold.
    this.wake(ringer, self)
    // A hint: a thread that dies before it leaves an older time.
    if (isIdle(to)) storeU32(this.memory.u32, this.#ended, now())
    return true
  }

  /** Microseconds since the last grace period ended; at most an hour, about. */
  get quiet(): number {
    return (now() - loadU32(this.memory.u32, this.#ended)) >>> 0
  }

  /**
   * From now on `cpu` is rung once, as soon as there is something new. Returns how many of 32 CPUs
   * ask now.
   */
  ask(cpu: number): number {
    const bit = 1 << (cpu & 31)
    // SH(srcu.waiters) pairs with SI in wake: set before counts and sequence are looked at, so a
    // change that this CPU misses finds the bit. Mutant: rcu/srcu-ask-late.
    return onesOf(orAtomic32(this.memory.i32, this.words + fields.waiters + (cpu >>> 5), bit) | bit)
  }
  /** `cpu` does not scan any more. */
  unask(cpu: number): void {
    // SV(srcu.waiters) before the look at who sleeps; pairs with SW in isAsked: who goes to sleep
    // either is found, or finds this bit gone. Mutant: rcu/srcu-tree-not-handed-over.
    andAtomic32(this.memory.i32, this.words + fields.waiters + (cpu >>> 5), ~(1 << (cpu & 31)))
  }
  /** Whether another CPU scans than `cpu`, or one of those before it. */
  isAsked(cpu: number, others: 'any' | 'before' = 'any'): boolean {
    const own = cpu >>> 5
    const bit = 1 << (cpu & 31)
    const masks = others === 'any' ? this.#masks : own + 1
    for (let i = 0; i < masks; i++) {
      // SW(srcu.waiters) pairs with SV in unask: looked at after this CPU's bits in the tree are
      // set, so it finds who scans, or is found. Mutant: rcu/srcu-tree-not-handed-over.
      const bits = loadAtomic32(this.memory.i32, this.words + fields.waiters + i)
      const wanted = i !== own ? -1 : others === 'any' ? ~bit : bit - 1
      if ((bits & wanted) !== 0) return true
    }
    return false
  }
  /** Whether nobody has rung `cpu` since it asked. */
  isAsking(cpu: number): boolean {
    // atomic: taken by SI; what was done before is read after the next SH.
    const bits = loadAtomic32(this.memory.i32, this.words + fields.waiters + (cpu >>> 5))
    return (bits & (1 << (cpu & 31))) !== 0
  }
  /** Another number when other CPUs scan; for the impatient. */
  get askers(): number {
    let sum = 0
    // atomic: a guess.
    for (let i = 0; i < this.#masks; i++)
      sum += loadAtomic32(this.memory.i32, this.words + fields.waiters + i)
    return sum
  }
  /** Rings all who asked, after a change; except `self`. Returns whether `self` had asked. */
  wake(ringer: Ringer, self: number): boolean {
    let isAsking = false
    for (let i = 0; i < this.#masks; i++) {
      // SI(srcu.waiters) pairs with SH in ask: either this finds the bit, or the waiter's look,
      // which comes after its bit, finds the change; also one that was made plainly. Mutant:
      // rcu/srcu-ask-late.
      const word = this.words + fields.waiters + i
      let bits = loadAtomic32(this.memory.i32, word)
      // atomic: as SI.
      if (bits !== 0) bits = exchangeAtomic32(this.memory.i32, word, 0)
      for (; bits !== 0; bits &= bits - 1) {
        const cpu = i * 32 + 31 - Math.clz32(bits & -bits)
        if (cpu === self) isAsking = true
        else ringer.ring(cpu, REASON_WAKE)
      }
    }
    return isAsking
  }

  /** Sections of this rank that have ended. To be called before {@link begun}. */
  ended(rank: number): number {
    const { i32 } = this.memory
    let sum = 0
    for (const part of this.parts) {
      // SJ(srcu.ended) pairs with SK in leave, SL in up, SM in endSections: what the reader
      // read, it has read; it may be changed. Mutant: rcu/srcu-plain-unlock.
      sum += addAtomic32(i32, part + ups + rank, 0) + addAtomic32(i32, part + atomicUnlocks + rank, 0)
      sum += load32(i32, part + unlocks + rank)
    }
    return sum | 0
  }
  /** Sections of this rank that have begun. */
  begun(rank: number): number {
    const { i32 } = this.memory
    let sum = 0
    for (const part of this.parts) {
      // SN(srcu.begun) pairs with SO in enter, SP in down: a section that is not counted here
      // finds what was written before. Mutant: rcu/srcu-sum-by-load.
      sum += addAtomic32(i32, part + downs + rank, 0) + addAtomic32(i32, part + atomicLocks + rank, 0)
      sum += load32(i32, part + locks + rank)
    }
    return sum | 0
  }

  /** Sections of one CPU under way, those handed over left out; a guess while it comes and goes. */
  openOf(cpu: number): number {
    const part = this.parts[cpu] ?? 0
    return this.open(part, 0) + this.open(part, 1)
  }
  /** Those of one rank. Exact on the CPU itself. */
  open(part: number, rank: number): number {
    const { i32 } = this.memory
    const at = part + rank
    // atomic: of the caller's own CPU, or a dead one, or a guess.
    const ended = load32(i32, at + unlocks) + loadAtomic32(i32, at + atomicUnlocks)
    const begun = load32(i32, at + locks) + loadAtomic32(i32, at + atomicLocks)
    return (begun - ended) | 0
  }
  /** Sections handed over that are under way; a guess while they come and go. */
  get handedOver(): number {
    const { i32 } = this.memory
    let sum = 0
    for (const part of this.parts)
      for (let rank = 0; rank < 2; rank++)
        // atomic: a guess.
        sum += loadAtomic32(i32, part + downs + rank) - loadAtomic32(i32, part + ups + rank)
    return sum | 0
  }

  /**
   * Ends the sections of a CPU that has died, or goes offline, except those handed over. Returns
   * how many there were.
   */
  endSections(cpu: number, ringer: Ringer): number {
    let ended = 0
    for (let rank = 0; rank < 2; rank++) {
      const open = this.open(this.parts[cpu] ?? 0, rank)
      if (open === 0) continue
      ended += open
      // SM(srcu.ended) pairs with SJ in ended: the CPU's reads are over. One word, whatever kind of
      // sections they were, so it can be repeated. Mutant: rcu/srcu-not-ended.
      addAtomic32(this.memory.i32, (this.parts[cpu] ?? 0) + atomicUnlocks + rank, open)
    }
    // Also if none was left: the CPU may have been about to tell.
    this.wake(ringer, -1)
    return ended
  }

  /** An atomic reader comes. `part`: of its CPU. */
  enter(part: number, rank: number): void {
    // SO(srcu.begun) pairs with SN in begun: a grace period that does not count it ended its look
    // before; what its updater wrote is found from here on. Mutant: rcu/srcu-sum-by-load.
    addAtomic32(this.memory.i32, part + atomicLocks + rank, 1)
  }
  /** An atomic reader leaves. */
  leave(part: number, rank: number): void {
    // SK(srcu.ended) pairs with SJ in ended: it gives up what it read. Mutant:
    // rcu/srcu-plain-unlock.
    addAtomic32(this.memory.i32, part + atomicUnlocks + rank, 1)
  }
  down(part: number, rank: number): void {
    // SP(srcu.begun) pairs with SN in begun: as SO. Mutant: rcu/srcu-sum-by-load.
    addAtomic32(this.memory.i32, part + downs + rank, 1)
  }
  up(part: number, rank: number): void {
    // SL(srcu.ended) pairs with SJ in ended: as SK. Mutant: rcu/srcu-up-by-store.
    addAtomic32(this.memory.i32, part + ups + rank, 1)
  }
}

/** Microseconds, modulo 2^32; the same for all threads. */
function now(): number {
  return (unixTime() * 1000) % 2 ** 32
}
/** How many bits are set. */
function onesOf(bits: number): number {
  let ones = 0
  for (let rest = bits; rest !== 0; rest &= rest - 1) ones++
  return ones
}
