/** What each task of a torture run works with, and how tasks pause. */
import { setTimeout as sleep } from 'node:timers/promises'
import { UnansweredError, type Machine } from 'percpu'
import { loadAtomic32, storeAtomic32, type Memory } from 'percpu/mem'
import type { Flavour } from './flavour.js'
import { State, type Failure } from './layout.js'
import type { Pool } from './pool.js'
import type { Random } from './random.js'
import type { Tally } from './tally.js'

/** Milliseconds that a wait for a grace period may take. */
export const PATIENCE = 30_000
/** For waits of the library. */
export const waits = { timeout: PATIENCE }

/** All tasks of a thread, from join to offline. */
export interface SessionParts {
  readonly machine: Machine
  readonly flavour: Flavour
  readonly pool: Pool
  readonly tally: Tally
  readonly random: Random
  /** Word index of the State. */
  readonly state: number
  readonly slot: number
  /** As which the thread owns elements. */
  readonly owner: number
  /** The thread takes its CPU offline then, by the clock of `performance`. */
  readonly until: number
  readonly tell: (text: string) => void
}

export class Session implements SessionParts {
  readonly machine: Machine
  readonly memory: Memory
  readonly flavour: Flavour
  readonly pool: Pool
  readonly tally: Tally
  readonly random: Random
  readonly state: number
  readonly slot: number
  readonly owner: number
  readonly until: number
  readonly tell: (text: string) => void
  #tasks = 0
  #resting = 0

  constructor(parts: SessionParts) {
    this.machine = parts.machine
    this.memory = parts.machine.memory
    this.flavour = parts.flavour
    this.pool = parts.pool
    this.tally = parts.tally
    this.random = parts.random
    this.state = parts.state
    this.slot = parts.slot
    this.owner = parts.owner
    this.until = parts.until
    this.tell = parts.tell
  }

  /** Runs tasks to their end. */
  async run(tasks: readonly ((task: Task) => Promise<void>)[]): Promise<void> {
    this.#tasks = tasks.length
    this.setResting(false)
    await Promise.all(tasks.map((task) => this.#run(task)))
    await this.flavour.settle?.()
    this.setResting(true)
  }
  async #run(task: (task: Task) => Promise<void>): Promise<void> {
    try {
      await this.pausePoint()
      await task(this)
    } catch (error) {
      this.failWith(error)
    }
    this.#tasks--
    this.#tellResting()
  }

  get isStopped(): boolean {
    // atomic: a request; whatever is done before it is found is fine.
    return loadAtomic32(this.memory.i32, this.state + State.words.stop) !== 0
  }
  /** Whether tasks shall come to their end. */
  get isOver(): boolean {
    return this.isStopped || performance.now() > this.until
  }
  isPaused(): boolean {
    // TE(torture.pause) pairs with TF in setResting: who rests is found so, or finds the pause.
    return loadAtomic32(this.memory.i32, this.state + State.words.pause) !== 0 && !this.isStopped
  }
  /** Where a task holds nothing: waits while all shall. */
  async pausePoint(): Promise<void> {
    if (!this.isPaused()) return
    this.#resting++
    this.#tellResting()
    for (;;) {
      while (this.isPaused()) await sleep(2)
      this.setResting(false)
      // The next pause may have begun before the coordinator could find that.
      if (!this.isPaused()) break
      this.#tellResting()
    }
    this.#resting--
  }
  get isResting(): boolean {
    // atomic: as TE.
    return loadAtomic32(this.memory.i32, this.state + State.words.resting + this.slot) === 1
  }
  #tellResting(): void {
    if (this.#resting > 0 && this.#resting >= this.#tasks) this.setResting(true)
  }
  setResting(isResting: boolean): void {
    // TF(torture.resting) before the look at `pause`; pairs with TE: the coordinator pauses, then
    // looks here.
    storeAtomic32(this.memory.i32, this.state + State.words.resting + this.slot, isResting ? 1 : 0)
  }

  /** For what a task threw. */
  failWith(error: unknown): void {
    if (error instanceof UnansweredError) this.fail('stalled', error.message)
    else this.fail('uncaught', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  fail(failure: Failure, text: string): void {
    this.tally.fail(failure)
    this.tell(`${failure}: ${text}`)
  }
}

/** What a task sees of its thread. */
export type Task = Session

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Busy for a while, as a thread that computes is. */
export function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}
