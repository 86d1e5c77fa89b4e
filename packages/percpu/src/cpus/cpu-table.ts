/**
 * CPUs: which thread holds which number, and in which state it is.
 *
 *     thread   0 ──claim──▶ key, claiming ──▶ key ──release──▶ 0      the owner's way
 *                            └──reap──▶ -reaper ──▶ 0     when its thread died
 *              0 ──withdraw──▶ never                      when the number is given up
 *     state    incarnation (machine/token.ts) × 8 + the state:
 *              offline → starting → online → stopping → offline, or → dead → offline
 *
 * Rules: `thread` changes only by compare-and-exchange: from 0 (claim), from the own key (release)
 * or from the dead thread's key (reap). So exactly one thread may write the rest of a record at any
 * time, and only that thread writes `state`.
 *
 * Claiming is the first write that a joining thread makes, in one word. So a thread killed anywhere
 * later can be found by its key. It can be found by its parent's key once that is written. Until
 * then the number is only being claimed: a reaper may take it from a thread that lives, which finds
 * out when it confirms its claim, and claims anew. All masks are computed from these two words;
 * nothing else says which CPUs are online.
 */
import { addAtomic32, compareExchangeAtomic32, loadAtomic32, loadU32, storeAtomic32, type Memory } from '#mem'
import { NoFreeCpuError } from '../machine/errors.js'
import { Cpu } from '../machine/layouts.js'
import type { MemoryMap } from '../machine/memory-map.js'
import { osThreadState, type OsThreadState } from '../machine/os-thread.js'

export const cpuStates = ['offline', 'starting', 'online', 'stopping', 'dead'] as const
/** What a CPU is at: docs/machine.md. */
export type CpuState = (typeof cpuStates)[number]

/** A CPU, as it was at one moment. */
export interface CpuInfo {
  readonly cpu: number
  readonly node: number
  readonly state: CpuState
  /**
   * How many threads have been this CPU, the present one included. After 2^21 - 1 the count begins
   * at 1 again.
   */
  readonly incarnation: number
}

/** In `thread`: this number has been given up for good. It is no key, and no reaper's. */
const WITHDRAWN = -(2 ** 31)
/** In `thread`, added to a key, which is below: the number is being claimed. */
export const CLAIMING = 2 ** 29
/** In `parent`: none is known. 0: not written yet, since boot. */
const NO_PARENT = -1
/**
 * While nobody has claimed the number since its last release: this, less the number of releases
 * before. It may wrap around: a claim does not last for 2^30 releases.
 */
const UNCLAIMED = -2
const RELEASES = 2 ** 30 - 1
const stride = Cpu.stride / 4
const stateBits = 3

export class CpuTable {
  readonly memory: Memory
  readonly map: MemoryMap

  constructor(memory: Memory, map: MemoryMap) {
    this.memory = memory
    this.map = map
  }

  /** Word index of a CPU's record. */
  record(cpu: number): number {
    return this.map.cpuTable + cpu * stride
  }

  /**
   * Word index of the mask of CPUs that want a ring when a CPU's state or another word changes that
   * others wait for.
   */
  waiters(cpu: number): number {
    return this.record(cpu) + Cpu.words.waiters
  }

  /**
   * Gives the lowest free number to the thread `key`. `parent`: the key of the thread that started
   * it; 0 if none is known.
   */
  claim(key: number, parent = 0): number {
    const claimed = parent === 0 ? key : key + CLAIMING
    for (let cpu = 0; cpu < this.map.cpus; cpu++) {
      // atomic: before the number is taken, see setParent.
      const unclaimed = loadAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.parent)
      // C(cpu.thread) takes the number; pairs with D in release: what the previous holder wrote in
      // the record happened before, and the record is now the claimer's alone. Mutant:
      // cpus/claim-without-exchange.
      if (compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, 0, claimed) !== 0)
        continue
      const isMine = this.#setParent(cpu, unclaimed, parent === 0 ? NO_PARENT : parent)
      if (isMine && (parent === 0 || this.#confirm(cpu, key))) return cpu
      // atomic: it gives back what a reaper has not taken; that one has written no parent.
      if (!isMine) compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, claimed, 0)
      // Another one may be free by now. Mutant: cpus/claims-no-other.
      cpu = -1
    }
    throw new NoFreeCpuError(
      `all ${this.map.cpus} possible CPUs have a thread: boot with more \`cpus\`, or supervise workers so that those of ` +
        `ended ones become free. Where the system tells of threads, a wait of a thread that has joined, such as ` +
        `machine.rcu.synchronize(), finds those that have ended`,
      { cpus: this.map.cpus },
    )
  }

  /**
   * From here on the number is certainly this thread's: its reaper finds it by its parent, too.
   * False if a reaper has taken it.
   */
  #confirm(cpu: number, key: number): boolean {
    const word = this.record(cpu) + Cpu.words.thread
    // atomic: after the parent. Mutant: cpus/claim-unconfirmed.
    return compareExchangeAtomic32(this.memory.i32, word, key + CLAIMING, key) === key + CLAIMING
  }
  /**
   * Writes the parent in place of what stood there before the number was taken; false if that is
   * not there any more. The thread may have lost the number to a reaper meanwhile, and another one
   * may hold it. So each release leaves another value: nobody writes a parent for another thread.
   */
  #setParent(cpu: number, unclaimed: number, parent: number): boolean {
    const word = this.record(cpu) + Cpu.words.parent
    // atomic: of two threads only the holder finds the value of the last release. Mutant:
    // cpus/parent-of-another.
    return compareExchangeAtomic32(this.memory.i32, word, unclaimed, parent) === unclaimed
  }

  /** Gives the number back. The caller holds it, by its own key or as its reaper. */
  release(cpu: number): void {
    this.setState(cpu, this.incarnation(cpu), 'offline')
    // atomic: only who releases a number counts.
    const releases = addAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.releases, 1)
    // atomic: before the next thread can have the number, which then is no child of that parent.
    storeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.parent, UNCLAIMED - (releases & RELEASES))
    // D(cpu.thread) pairs with C in claim: the record now belongs to whoever claims it next.
    // Mutant: cpus/release-before-offline.
    storeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, 0)
  }

  /**
   * Gives a number up that no thread has: from now on it is not possible. False if a thread has it.
   */
  withdraw(cpu: number): boolean {
    // atomic: a thread that claims the number at the same moment wins or loses by the same word.
    const found = compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, 0, WITHDRAWN)
    return found === 0 || found === WITHDRAWN
  }

  /** Makes a number possible again; by the thread that gave it up a moment ago. */
  restore(cpu: number): void {
    // atomic: of an exchange that fails the number had not been given up.
    compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, WITHDRAWN, 0)
  }

  /** Whether a thread could ever be this CPU. */
  isPossible(cpu: number): boolean {
    return this.thread(cpu) !== WITHDRAWN
  }

  /** Whether a thread is this CPU, or was and has not been cleaned up after. */
  isPresent(cpu: number): boolean {
    const thread = this.thread(cpu)
    return thread !== 0 && thread !== WITHDRAWN
  }

  /** Whether a `thread` word says that its thread is still claiming the number. */
  isClaiming(thread: number): boolean {
    return thread > CLAIMING && thread < 2 * CLAIMING
  }

  /**
   * Takes a dead thread's number over for cleaning up; false if another reaper did, or the thread
   * has no number.
   */
  takeOver(cpu: number, deadKey: number, reaperKey: number): boolean {
    // atomic: of several reapers exactly one wins; the dead thread itself writes no more.
    return (
      compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, deadKey, -reaperKey) ===
      deadKey
    )
  }

  /** Undoes {@link takeOver}, unless the reaper has been taken over meanwhile. */
  handBack(cpu: number, deadKey: number, reaperKey: number): void {
    // atomic: as in takeOver.
    compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread, -reaperKey, deadKey)
  }

  /**
   * The thread that holds the number: its key, 0 for none, minus the reaper's key while it is
   * cleaned up.
   */
  thread(cpu: number): number {
    // atomic: a snapshot; what hangs on it is decided by claim and takeOver.
    return loadAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.thread)
  }

  /**
   * The key of the thread that started the one that holds the number; 0 if that is not written yet,
   * less if it is not known.
   */
  parent(cpu: number): number {
    // atomic: written by the thread that holds the number, and read when that has ended.
    const parent = loadAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.parent)
    return parent <= UNCLAIMED ? 0 : parent
  }
  /** By the thread that holds the number: its own number in the operating system. */
  setOsThread(cpu: number, key: number, id: number): void {
    const { i32 } = this.memory
    const record = this.record(cpu)
    // VQ(cpu.osKey) takes the last thread's key away before its number in the system; pairs with VR
    // in osThread: no key is found with the number of another thread. Mutant: cpus/os-thread-torn.
    storeAtomic32(i32, record + Cpu.words.osKey, 0)
    // atomic: between two stores of the key.
    storeAtomic32(i32, record + Cpu.words.osThread, id)
    storeAtomic32(i32, record + Cpu.words.osKey, key)
  }
  /** The number in the system of the thread with this key, which is the CPU; 0: unknown. */
  osThread(cpu: number, key: number): number {
    const { i32 } = this.memory
    const word = this.record(cpu) + Cpu.words.osKey
    // atomic: as VR.
    if (loadAtomic32(i32, word) !== key) return 0
    // atomic: that of this key, unless the key changes meanwhile.
    const id = loadAtomic32(i32, this.record(cpu) + Cpu.words.osThread)
    // VR(cpu.osKey) pairs with VQ in setOsThread: the number in between was that of this key, so a
    // thread that lives is not taken for one that has ended. Mutant: cpus/os-thread-torn.
    return loadAtomic32(i32, word) === key ? id : 0
  }
  /** What the operating system says of the thread with this key, which is the CPU. */
  osState(cpu: number, key = this.thread(cpu)): OsThreadState | undefined {
    return osThreadState(this.osThread(cpu, key))
  }
  /** Gives the child of a dead thread another parent, unless somebody has. */
  adopt(cpu: number, deadKey: number, key: number): void {
    // atomic: exchanged, as the child may have been reaped, and its number be another thread's.
    compareExchangeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.parent, deadKey, key)
  }

  /**
   * Incarnation × 8 + state, as stored: two equal words are the same stretch of the same
   * incarnation.
   */
  stateWord(cpu: number): number {
    // F(cpu.state) pairs with E in setState: what the CPU wrote before it entered this state may be
    // read. Mutant: cpus/online-before-record.
    return loadAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.state)
  }

  setState(cpu: number, incarnation: number, state: CpuState): void {
    const word = (incarnation << stateBits) | cpuStates.indexOf(state)
    // E(cpu.state) pairs with F in stateWord: `online` invites rings, calls and grace periods to
    // count on this CPU; `offline` and `dead` say that it reads nothing any more. Mutant:
    // cpus/online-before-record.
    storeAtomic32(this.memory.i32, this.record(cpu) + Cpu.words.state, word)
  }

  state(cpu: number): CpuState {
    return stateOf(this.stateWord(cpu))
  }

  incarnation(cpu: number): number {
    return this.stateWord(cpu) >>> stateBits
  }

  node(cpu: number): number {
    return loadU32(this.memory.u32, this.record(cpu) + Cpu.words.node)
  }

  info(cpu: number): CpuInfo {
    const word = this.stateWord(cpu)
    return { cpu, node: this.node(cpu), state: stateOf(word), incarnation: word >>> stateBits }
  }

  /** CPUs that pass `filter`, ascending. */
  select(filter: (cpu: number) => boolean): number[] {
    const cpus = []
    for (let cpu = 0; cpu < this.map.cpus; cpu++) if (filter(cpu)) cpus.push(cpu)
    return cpus
  }

  online(): number[] {
    return this.select((cpu) => this.state(cpu) === 'online')
  }
}

/** The state in a word of {@link CpuTable.stateWord}. */
export function stateOf(word: number): CpuState {
  return cpuStates[word & ((1 << stateBits) - 1)] ?? 'dead'
}
export function incarnationOf(word: number): number {
  return word >>> stateBits
}
