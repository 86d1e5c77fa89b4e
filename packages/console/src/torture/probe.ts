/** What readers check of grace periods, from inside a section. */
import type { Glimpse } from './glimpse.js'
import { STEPS } from './layout.js'
import type { ReaderTally } from './tally.js'
import type { Task } from './task.js'

/** Between the cookies of two grace periods. */
const PERIOD = 4

/**
 * From the begin of a section to its end. A cookie taken inside must not be done while the section
 * lasts. As many grace periods as have ended meanwhile go to the histogram of batches.
 */
export class SectionProbe {
  readonly #task: Task
  readonly #cookie: number

  constructor(task: Task) {
    const { flavour, random } = task
    this.#task = task
    const asks = random.oneIn(flavour.rest === undefined ? 2 : 400)
    this.#cookie = asks ? flavour.startPoll() : flavour.getState()
  }

  /** Before the section ends. */
  end({ batch }: ReaderTally): void {
    const { flavour, tally } = this.#task
    tally.add('cookieChecks')
    if (flavour.poll(this.#cookie))
      this.#task.fail('cookie', `cookie ${this.#cookie}, taken inside a section, was done before it ended`)
    const periods = ((flavour.getState() - this.#cookie) | 0) / PERIOD
    const step = Math.min(Math.max(periods, 0), STEPS - 1)
    batch[step] = (batch[step] ?? 0) + 1
  }
}

/** At the end of a section: counts it, and reports what is wrong. */
export function inspect(task: Task, glimpse: Glimpse, tally: ReaderTally): void {
  const fault = glimpse.end(tally.pipe)
  tally.reads++
  if (fault) task.fail(fault.failure, fault.text)
}
