/**
 * Writers replace the published element over and over. What they have replaced waits for grace
 * periods, in one of several ways chosen at random, and is used again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { PIPE_LENGTH } from './layout.js'
import { OldCookies } from './old-cookies.js'
import { spin, turn, waits, type Task } from './task.js'
import { Waiting, type Style } from './waiting.js'

export async function write(task: Task): Promise<void> {
  const writer = new Writer(task)
  while (!task.isOver) {
    if (task.isPaused()) {
      await writer.finish()
      await task.pausePoint()
    }
    await writer.step()
  }
  await writer.finish()
}

class Writer {
  readonly #task: Task
  readonly #waiting: Waiting
  readonly #cookies: OldCookies
  /** Elements replaced by this task; those of chains of callbacks left out. */
  readonly #replaced: number[] = []
  #chains = 0
  #from = 0

  constructor(task: Task) {
    this.#task = task
    this.#cookies = new OldCookies(task)
    this.#waiting = new Waiting(task, this.#cookies)
  }

  async step(): Promise<void> {
    const { pool, owner } = this.#task
    await this.#pause()
    const element = pool.take(owner, this.#from)
    if (element === undefined) {
      await this.#wait(this.#waiting.choose())
      return
    }
    this.#from = element + 1
    pool.fill(element)
    const old = pool.publish(element, owner)
    if (old >= 0) await this.#dispose(old)
    this.#cookies.check()
  }

  /** Until nothing waits any more. */
  async finish(): Promise<void> {
    while (this.#replaced.length > 0) await this.#wait('expedited')
    while (this.#chains > 0) await turn()
  }

  async #dispose(element: number): Promise<void> {
    const { pool, flavour, tally, random } = this.#task
    if (flavour.call && random.oneIn(3)) {
      this.#chain(element)
      return
    }
    if (flavour.free && random.oneIn(2)) {
      const body = pool.giveUpBody(element)
      tally.add('freed')
      if (body !== undefined) await flavour.free(body)
    }
    this.#replaced.push(element)
    await this.#wait(this.#waiting.choose())
  }

  /** Each callback queues the next one. */
  #chain(element: number): void {
    const { pool, flavour, tally } = this.#task
    this.#chains++
    tally.add('chained')
    const post = (): void => {
      tally.add('callsPosted')
      void flavour.call?.(() => {
        tally.add('callsRun')
        if (pool.advance(element)) this.#chains--
        else post()
      })
      tally.add('callsQueued')
    }
    post()
  }

  /** A grace period; all that was replaced before is one further. */
  async #wait(style: Style): Promise<void> {
    const { pool } = this.#task
    const before = [...this.#replaced]
    this.#replaced.length = 0
    await this.#waiting.wait(style)
    for (const element of before) if (!pool.advance(element)) this.#replaced.push(element)
    if (before.length > 3 * PIPE_LENGTH) await this.#task.flavour.synchronize(waits)
  }

  #pause(): Promise<void> {
    const { random, flavour } = this.#task
    if (flavour.rest !== undefined && random.oneIn(2)) return sleep(random.below(flavour.rest))
    if (random.oneIn(16)) spin(random.below(5) / 10)
    if (random.oneIn(16)) return sleep(random.below(3))
    return random.oneIn(4) ? turn() : Promise.resolve()
  }
}
