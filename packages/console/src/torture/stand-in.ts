/**
 * A stand-in for an SRCU domain: the algorithm of docs/rcu.md in a few lines, with a switch for
 * each of the faults that the torture must find. Without a fault it is right, and must pass.
 *
 *     reader    rank = that of the sequence; locks[rank]++ … unlocks[rank]++
 *     updater   scan the rank not in use; flip; scan the one that was in use
 *     scan      Σ unlocks, then Σ locks, until they are equal
 *
 * One updater at a time, by a lock. Nobody cleans up after a thread that dies.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { UnansweredError, type WaitOptions } from 'percpu'
import { addAtomic32, compareExchangeAtomic32, loadAtomic32, storeAtomic32, type Memory } from 'percpu/mem'
import type { Flavour } from './flavour.js'
import { SLOTS, StandInCounts, State } from './layout.js'
import type { StandInName } from './options.js'
import type { Random } from './random.js'
import { PATIENCE, turn } from './task.js'

const { words } = State
const STRIDE = StandInCounts.stride / 4
const { locks, unlocks } = StandInCounts.words
/**
 * As long as a grace period. One scan is too few for a reader that counts itself while none is
 * under way, before what it reads is replaced.
 */
const REST = 30
/** Milliseconds that one scan may take. */
const SCAN_LIMIT = 10_000

/** What the domain tells the run. */
export interface StandInParts {
  readonly memory: Memory
  readonly state: number
  readonly slot: number
  readonly random: Random
  readonly fail: (failure: 'unbalanced' | 'stalled', text: string) => void
  readonly torn: () => void
}

export function standIn(name: StandInName, parts: StandInParts): Flavour {
  const domain = new StandIn(name, parts)
  return {
    mayAwait: true,
    mayReadDeaf: undefined,
    completed: domain.completed,
    rest: REST,
    readLock: () => domain.readLock(),
    readUnlock: (token) => domain.readUnlock(token),
    slowReadLock: (isLong) => domain.slowReadLock(isLong),
    synchronize: (options) => domain.synchronize(options),
    synchronizeExpedited: (options) => domain.synchronize(options),
    getState: () => domain.getState(),
    startPoll: () => domain.startPoll(),
    poll: (cookie) => domain.poll(cookie),
    settle: () => domain.settle(),
  }
}

/** The sequence is that of the library: two bits for the phase, then grace periods. */
class StandIn {
  readonly completed = 0
  readonly #name: StandInName
  readonly #parts: StandInParts
  #isPolling = false

  constructor(name: StandInName, parts: StandInParts) {
    this.#name = name
    this.#parts = parts
  }

  readLock(): number {
    const rank = this.#rank
    this.#add(locks + rank)
    return rank
  }
  /** As if the thread were preempted between finding its rank and counting itself. */
  async slowReadLock(isLong: boolean): Promise<number> {
    const rank = this.#rank
    await preemption(this.#parts.random, isLong)
    if (this.#name === 'busted-torn') await this.#tornAdd(locks + rank)
    else this.#add(locks + rank)
    return rank
  }
  readUnlock(token: number): void {
    this.#add(unlocks + token)
  }

  async synchronize(options: WaitOptions): Promise<void> {
    if (this.#name === 'busted-no-gp') {
      this.#advance(4)
      return
    }
    const cookie = this.getState()
    if (!(await this.#lock(cookie, options))) return
    const rank = this.#rank
    this.#advance(1)
    if (this.#name !== 'busted-one-scan') await this.#scan(rank ^ 1)
    this.#advance(1)
    await this.#scan(rank)
    this.#advance(2)
    this.#unlock()
  }
  getState(): number {
    // atomic: what this thread has written goes before the grace period.
    const sequence = addAtomic32(this.#parts.memory.i32, this.#parts.state + words.standInSequence, 0)
    // One that is under way may have begun too early.
    return (sequence + 7) & ~3
  }
  startPoll(): number {
    const cookie = this.getState()
    if (!this.#isPolling) void this.#drive(cookie)
    return cookie
  }
  poll(cookie: number): boolean {
    return this.#sequence >= cookie
  }
  async #drive(cookie: number): Promise<void> {
    this.#isPolling = true
    try {
      while (!this.poll(cookie)) await this.synchronize({})
    } catch (error) {
      this.#parts.fail('stalled', error instanceof Error ? error.message : String(error))
    }
    this.#isPolling = false
  }

  async settle(): Promise<void> {
    while (this.#isPolling) await turn()
  }

  get #sequence(): number {
    // atomic: readers take any rank; updaters have the lock.
    return loadAtomic32(this.#parts.memory.i32, this.#parts.state + words.standInSequence)
  }
  /** Half-way through a grace period the next rank is in use already. */
  get #rank(): number {
    return ((this.#sequence + 2) >>> 2) & 1
  }
  #advance(by: number): void {
    // atomic: readers look at it at any time.
    addAtomic32(this.#parts.memory.i32, this.#parts.state + words.standInSequence, by)
  }

  /** False if the cookie's grace period is over: somebody else has waited for it. */
  async #lock(cookie: number, { timeout = PATIENCE }: WaitOptions): Promise<boolean> {
    const { memory, state } = this.#parts
    const end = performance.now() + timeout
    while (!this.poll(cookie)) {
      // atomic: one updater at a time.
      if (compareExchangeAtomic32(memory.i32, state + words.standInLock, 0, 1) === 0) {
        if (!this.poll(cookie)) return true
        this.#unlock()
        return false
      }
      await sleep(1)
      if (performance.now() > end) throw new UnansweredError('the stand-in domain is locked for too long')
    }
    return false
  }
  #unlock(): void {
    // atomic: the next updater finds what this one wrote.
    storeAtomic32(this.#parts.memory.i32, this.#parts.state + words.standInLock, 0)
  }
  /** Between the sums the updater may be preempted, too. */
  async #scan(rank: number): Promise<void> {
    const end = performance.now() + SCAN_LIMIT
    const isSwapped = this.#name === 'busted-locks-first'
    for (let isBalanced = true; ;) {
      const first = this.#sum((isSwapped ? locks : unlocks) + rank)
      await sleep(1)
      const second = this.#sum((isSwapped ? unlocks : locks) + rank)
      if (first === second) return
      const [begun, ended] = isSwapped ? [first, second] : [second, first]
      if (isBalanced && !isSwapped && ended > begun) {
        isBalanced = false
        this.#parts.fail('unbalanced', `${ended} sections of rank ${rank} had ended, and ${begun} had begun`)
      }
      if (performance.now() > end)
        throw new UnansweredError(`a scan lasts too long: ${begun} sections had begun, ${ended} had ended`)
      await turn()
    }
  }
  #sum(field: number): number {
    let sum = 0
    for (let slot = 0; slot < SLOTS; slot++)
      // An addition, as in srcu-words.ts: a section that is not counted finds what was written.
      sum += addAtomic32(this.#parts.memory.i32, this.#counts(slot) + field, 0)
    return sum
  }
  #add(field: number): void {
    // atomic: read by the scans.
    addAtomic32(this.#parts.memory.i32, this.#counts(this.#parts.slot) + field, 1)
  }
  /** Load, add, store: another task of this thread that comes in between is lost. */
  async #tornAdd(field: number): Promise<void> {
    const { memory, slot } = this.#parts
    const word = this.#counts(slot) + field
    // atomic: the fault is that these are two operations.
    const found = loadAtomic32(memory.i32, word)
    await turn()
    if (loadAtomic32(memory.i32, word) !== found) this.#parts.torn()
    storeAtomic32(memory.i32, word, found + 1)
  }
  #counts(slot: number): number {
    return this.#parts.state + words.standInCounts + slot * STRIDE
  }
}

/** Short, or for several grace periods. */
function preemption(random: Random, isLong: boolean): Promise<void> {
  if (isLong) return sleep(10 + random.below(30))
  return random.oneIn(2) ? turn() : sleep(random.below(4))
}
