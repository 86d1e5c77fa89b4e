/** Cookies of grace periods that have ended: they stay done. */
import type { Task } from './task.js'

const KEPT = 16

export class OldCookies {
  readonly #task: Task
  readonly #cookies: number[] = []
  #next = 0

  constructor(task: Task) {
    this.#task = task
  }

  add(cookie: number): void {
    if (this.#cookies.length < KEPT) this.#cookies.push(cookie)
    // Some stay for long.
    else if (this.#task.random.oneIn(4)) this.#cookies[this.#task.random.below(KEPT)] = cookie
  }
  /** Looks at one of them. */
  check(): void {
    const { flavour, tally } = this.#task
    tally.add('cookieChecks')
    if (!flavour.poll(flavour.completed)) this.#task.fail('cookie', 'the completed cookie was not done')
    const cookie = this.#cookies[this.#next++ % KEPT]
    if (cookie === undefined || flavour.poll(cookie)) return
    this.#task.fail('cookie', `cookie ${cookie} was done, and is not any more`)
  }
}
