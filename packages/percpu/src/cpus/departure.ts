/** How long a CPU that leaves waits for others: until somebody does not want to wait any longer. */
import { startTimer } from '../machine/platform.js'

export class Departure {
  /** Resolves when it is to be hurried. */
  readonly hurried: Promise<void>
  isHurried = false
  #resolve: () => void = () => undefined
  readonly #recheck: () => void

  /** `recheck`: lets waits under way look at {@link isHurried}. */
  constructor(recheck: () => void) {
    this.#recheck = recheck
    this.hurried = new Promise((resolve) => (this.#resolve = resolve))
  }

  hurry(): void {
    if (this.isHurried) return
    this.isHurried = true
    this.#resolve()
    this.#recheck()
  }

  /** Waits for something, so many ms at most. */
  async within(something: Promise<unknown>, limit: number): Promise<void> {
    let stop: () => void = () => undefined
    const late = new Promise<void>((resolve) => (stop = startTimer(resolve, limit)))
    try {
      await Promise.race([something, late, this.hurried])
    } finally {
      stop()
    }
  }
}
