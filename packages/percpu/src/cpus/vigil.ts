/**
 * What goes on while a thread waits for anything without blocking: its process stays alive, and it
 * patrols (patrol.ts).
 *
 * When the next patrol is due stays from one wait to the next. So whoever waits again and again,
 * for less than a second each, patrols as well.
 */
import { host, startTimer } from '../machine/platform.js'
import { PATROL_INTERVAL } from './patrol.js'

export class Vigil {
  /** Set by the machine. */
  onPatrol: (() => void) | undefined
  /** In ms. */
  #due = host.performance.now() + PATROL_INTERVAL
  #stop: () => void = () => undefined

  /** Something is waited for until {@link end}. */
  begin(): void {
    if (this.onPatrol === undefined) {
      this.#stop = startTimer(() => undefined, 2 ** 31 - 1)
      return
    }
    const now = host.performance.now()
    if (this.#due <= now) {
      // Mutant: cpus/patrol-put-off.
      this.#due = now + PATROL_INTERVAL
      // Not here: this may be in the middle of anything. Mutant: cpus/no-patrol.
      host.queueMicrotask(() => this.onPatrol?.())
    }
    this.#stop = startTimer(() => this.begin(), this.#due - now)
  }
  end(): void {
    this.#stop()
  }
}
