/** The ways to wait for one grace period. */
import { setTimeout as sleep } from 'node:timers/promises'
import { PercpuError } from 'percpu'
import type { OldCookies } from './old-cookies.js'
import { PATIENCE, turn, waits, type Task } from './task.js'

const STYLES = ['synchronize', 'expedited', 'blocking', 'poll', 'conditional'] as const
export type Style = (typeof STYLES)[number]

export class Waiting {
  readonly #task: Task
  readonly #cookies: OldCookies

  constructor(task: Task, cookies: OldCookies) {
    this.#task = task
    this.#cookies = cookies
  }

  choose(): Style {
    return this.#task.random.pick(STYLES) ?? 'synchronize'
  }

  async wait(style: Style): Promise<void> {
    const { flavour, tally } = this.#task
    switch (style) {
      case 'synchronize':
        await this.#checked(() => flavour.synchronize(waits))
        tally.add('synchronized')
        return
      case 'expedited':
        await this.#checked(() => flavour.synchronizeExpedited(waits))
        tally.add('expedited')
        return
      case 'blocking':
        return this.#block()
      case 'poll':
        return this.#poll()
      case 'conditional':
        return this.#conditional()
    }
  }

  /** A grace period that begins after a cookie was taken is good for that cookie. */
  async #checked(wait: () => Promise<void>): Promise<void> {
    const { flavour } = this.#task
    const cookie = flavour.getState()
    await wait()
    this.#mustBeDone(cookie, 'a grace period that was waited for')
  }
  async #block(): Promise<void> {
    const { flavour, tally } = this.#task
    if (!flavour.synchronizeBlocking) return this.wait('synchronize')
    const cookie = flavour.getState()
    try {
      flavour.synchronizeBlocking({ timeout: PATIENCE })
    } catch (error) {
      // Sections of other tasks of this thread could not end.
      const isOwn = error instanceof PercpuError && 'code' in error && error.code === 'PERCPU_SELF_DEADLOCK'
      if (!isOwn) throw error
      return this.wait('synchronize')
    }
    this.#mustBeDone(cookie, 'a grace period that was blocked for')
    tally.add('blocked')
  }
  async #poll(): Promise<void> {
    const { flavour, tally, random } = this.#task
    const cookie = flavour.startPoll()
    const end = performance.now() + PATIENCE
    while (!flavour.poll(cookie)) {
      await (random.oneIn(2) ? sleep(1) : turn())
      if (random.oneIn(64)) flavour.startPoll()
      if (performance.now() < end) continue
      this.#task.fail('stalled', `cookie ${cookie} was polled for ${PATIENCE} ms`)
      break
    }
    this.#cookies.add(cookie)
    tally.add('polled')
  }
  async #conditional(): Promise<void> {
    const { flavour, tally, random } = this.#task
    const cookie = flavour.getState()
    for (let turns = random.below(4); turns > 0; turns--) await turn()
    if (!flavour.poll(cookie)) await flavour.synchronize(waits)
    this.#mustBeDone(cookie, 'a grace period that was waited for on condition')
    tally.add('conditional')
  }

  #mustBeDone(cookie: number, what: string): void {
    const { flavour } = this.#task
    if (!flavour.poll(cookie)) this.#task.fail('cookie', `cookie ${cookie} was not done after ${what}`)
    this.#cookies.add(cookie)
  }
}
