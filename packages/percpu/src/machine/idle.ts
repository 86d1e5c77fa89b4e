/**
 * Idle stretches: a CPU that is parked in `Atomics.wait`, or deaf, reads nothing that a grace period protects.
 *
 *     cpu.idle       odd inside such a stretch (as a VPA's yield_count)
 *     cpu.parkedOn   the word it sleeps on, so that a ring that needs an answer can wake it
 *     cpu.deaf       1: rings are not answered before the stretch ends
 */
import { addAtomic32, loadAtomic32, storeAtomic32, wait32, type WaitResult } from '#mem'
import type { Calls } from './calls.js'
import type { CpuTable } from './cpu-table.js'
import type { Doorbell } from './doorbell.js'
import { UnsupportedError } from './errors.js'
import type { GracePeriods } from './grace-period.js'
import { Cpu } from './layouts.js'
import { host } from './platform.js'

const { words } = Cpu
/** Milliseconds. */
const SLICE = 50

export class Idle {
  readonly #table: CpuTable
  readonly #record: number
  readonly #doorbell: Doorbell
  readonly #gracePeriods: GracePeriods
  readonly #calls: Calls
  #depth = 0

  constructor(table: CpuTable, cpu: number, doorbell: Doorbell, gracePeriods: GracePeriods, calls: Calls) {
    this.#calls = calls
    this.#table = table
    this.#record = table.record(cpu)
    this.#doorbell = doorbell
    this.#gracePeriods = gracePeriods
  }

  /** Before the CPU comes online: no stretch of an earlier incarnation is left over. */
  start(): void {
    const { i32 } = this.#table.memory
    // atomic: the CPU is not online yet; E in setState publishes these.
    storeAtomic32(i32, this.#record + words.idle, 0)
    storeAtomic32(i32, this.#record + words.parkedOn, -1)
    storeAtomic32(i32, this.#record + words.deaf, 0)
  }

  park(word: number, value: number, timeout: number): WaitResult {
    this.#doorbell.answer()
    const { i32 } = this.#table.memory
    // atomic: written before the bell is read, as a ringer reads it after it rang: one of both sees the other.
    storeAtomic32(i32, this.#record + words.parkedOn, word)
    this.#enter()
    try {
      return this.#sleep(word, value, timeout)
    } catch (error) {
      throw new UnsupportedError(
        'this thread must not block (the main thread of a browser page): use an async wait',
        {},
        { cause: error },
      )
    } finally {
      this.#leave()
      // atomic: a late ring of the user's word is a spurious wake-up, which park allows.
      storeAtomic32(i32, this.#record + words.parkedOn, -1)
      this.#doorbell.answer()
    }
  }

  /**
   * A ring that comes between the look at the bell and the sleep wakes nobody, for it changes another word than the one slept on. So
   * sleep in slices, and look at the bell between them.
   */
  #sleep(word: number, value: number, timeout: number): WaitResult {
    const { i32 } = this.#table.memory
    const end = host.performance.now() + timeout
    for (;;) {
      // atomic: a ring that came since the last answer is answered now, not slept over.
      const isRung = !this.#isNested && loadAtomic32(i32, this.#record + words.bell) !== 0
      if (isRung) return loadAtomic32(i32, word) === value ? 'ok' : 'not-equal'
      const left = end - host.performance.now()
      // atomic: the user's word, and the user's protocol.
      const result = wait32(i32, word, value, Math.max(0, Math.min(left, SLICE)))
      if (result !== 'timed-out' || left <= SLICE) return result
    }
  }

  /** Inside a called function or a deaf stretch, nothing is answered before that ends. */
  get #isNested(): boolean {
    return this.#depth > 1 || this.#doorbell.isAnswering
  }

  deaf<Result>(run: () => Result): Result {
    if (this.#depth > 0) return run()
    this.#doorbell.answer()
    // atomic: turning deaf is announced by #enter, so nobody goes on waiting for an answer.
    storeAtomic32(this.#table.memory.i32, this.#record + words.deaf, 1)
    this.#enter()
    try {
      return run()
    } finally {
      this.#leave()
      this.#hear()
    }
  }

  #hear(): void {
    // Y(cpu.deaf) hears again; pairs with X in #isDeaf: a caller that found this CPU deaf wrote its call before this store, so the
    // call is found below and skipped. Mutant: machine/deaf-runs-later.
    storeAtomic32(this.#table.memory.i32, this.#record + words.deaf, 0)
    this.#calls.skipPending()
    this.#doorbell.answer()
  }

  #enter(): void {
    if (this.#depth++ > 0) return
    this.#doorbell.mute(true)
    // O(cpu.idle) pairs with P in #hasPassed: all that this CPU read before is over, and a grace period may end
    // without its answer. Mutant: machine/idle-not-odd.
    addAtomic32(this.#table.memory.i32, this.#record + words.idle, 1)
    this.#gracePeriods.announce()
  }

  #leave(): void {
    if (--this.#depth > 0) return
    // atomic: back to even before anything is read again; a grace period that saw it odd began before those reads, which
    // therefore find what its updater published (all of it is sequentially consistent).
    addAtomic32(this.#table.memory.i32, this.#record + words.idle, 1)
    this.#doorbell.mute(false)
  }
}
