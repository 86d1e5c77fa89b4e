/**
 * Patrols: whoever waits, for whatever, looks now and then whether threads of other CPUs have
 * ended. So no wait lasts for ever for what such a thread has left, also if nobody supervised it.
 *
 * A thread is cleaned up after if two patrols in a row have found it gone. Its supervisor, who
 * hears of its end, comes before that, unless it is held up itself.
 */
import { host } from '../machine/platform.js'
import type { CpuTable } from './cpu-table.js'

/** ms between two patrols of a thread. */
export const PATROL_INTERVAL = 1000
/** CPUs that one patrol looks at: each costs a question to the system, about 3 µs. */
const STRIDE = 64

export class Patrol {
  readonly #table: CpuTable
  readonly #cpu: number
  /** The CPU at which the next patrol begins. */
  #next = 0
  #begun = -Infinity
  /** Keys of threads that were found gone, by CPU. */
  readonly #gone = new Map<number, number>()

  constructor(table: CpuTable, cpu: number) {
    this.#table = table
    this.#cpu = cpu
  }

  /** The CPUs to clean up after; none if a patrol was here a short while ago. */
  ended(): readonly number[] {
    const now = host.performance.now()
    // A timer may come a little early.
    if (now < this.#begun + PATROL_INTERVAL / 2) return []
    this.#begun = now
    const { cpus } = this.#table.map
    const length = Math.min(STRIDE, cpus)
    const seen = Array.from({ length }, (_, i) => (this.#next + i) % cpus)
    this.#next = (this.#next + length) % cpus
    return seen.filter((cpu) => this.#isGoneStill(cpu))
  }

  #isGoneStill(cpu: number): boolean {
    const key = this.#table.thread(cpu)
    if (cpu === this.#cpu || key <= 0 || this.#table.osState(cpu, key) !== 'gone') {
      this.#gone.delete(cpu)
      return false
    }
    // Mutant: cpus/patrol-hasty.
    if (this.#gone.get(cpu) === key) return true
    this.#gone.set(cpu, key)
    return false
  }
}
