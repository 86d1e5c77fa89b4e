/**
 * One thread of a replay. It takes each of its steps when its turn comes, and then hands over to
 * the next thread.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Found, ReplayStep } from './replay-plan.js'
import { WordAccess } from './word-access.js'

export interface ReplayJob {
  readonly memory: SharedArrayBuffer
  /** One 32-bit word: the turn. */
  readonly turn: SharedArrayBuffer
  readonly steps: readonly ReplayStep[]
  /** Turns of all threads. */
  readonly turns: number
}

class ReplayThread {
  readonly #steps: readonly ReplayStep[]
  readonly #turns: number
  readonly #turn: Int32Array
  readonly #words: WordAccess
  /** The wait that is under way. */
  #waiting: Promise<string> | undefined

  constructor({ memory, turn, steps, turns }: ReplayJob) {
    this.#turns = turns
    this.#steps = steps
    this.#turn = new Int32Array(turn)
    this.#words = new WordAccess(memory)
  }

  async replay(): Promise<{ turn: number; found: Found }[]> {
    const found: { turn: number; found: Found }[] = []
    for (const step of this.#steps) {
      this.#awaitTurn(step.turn)
      found.push({ turn: step.turn, found: step.kind === 'wake' ? await this.#waiting : this.#take(step) })
      Atomics.store(this.#turn, 0, step.turn + 1)
      Atomics.notify(this.#turn, 0)
    }
    // Its waits must last until all turns are over.
    this.#awaitTurn(this.#turns)
    return found
  }

  #awaitTurn(turn: number): void {
    for (;;) {
      const now = Atomics.load(this.#turn, 0)
      if (now === turn) return
      Atomics.wait(this.#turn, 0, now)
    }
  }

  #take(step: ReplayStep): Found {
    const { kind, address, bytes, operand, isAtomic } = step
    switch (kind) {
      case 'load':
        return this.#words.load(address, bytes, isAtomic)
      case 'store':
        this.#words.store(address, bytes, operand, isAtomic)
        return undefined
      case 'compareExchange':
        return this.#words.compareExchange(address, bytes, step.expected, operand)
      case 'wait':
        // An asynchronous wait has begun, for sure, before the turn is handed over.
        if (step.count > 0) this.#waiting = this.#words.wait(address, step.count === 2 ? 1 : Infinity)
        return undefined
      case 'notify':
        return this.#words.notify(address, step.count === 0 ? Infinity : step.count)
      case 'wake':
        return undefined
      default:
        return this.#words.modify(kind, address, bytes, operand)
    }
  }
}

if (parentPort !== null) parentPort.postMessage(await new ReplayThread(workerData as ReplayJob).replay())
