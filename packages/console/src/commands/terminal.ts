/** The terminal that a command was started on, if any. */
import { isatty } from 'node:tty'

export class Terminal {
  readonly #isTerminal: (descriptor: number) => boolean
  readonly #descriptors: readonly number[]

  constructor(isTerminal: (descriptor: number) => boolean = isatty) {
    this.#isTerminal = isTerminal
    this.#descriptors = [0, 1, 2].filter(isTerminal)
  }

  /**
   * Whether it was closed. With `nohup`, or as a service, there was none: then SIGHUP can only have
   * been sent by somebody.
   */
  get isGone(): boolean {
    return this.#descriptors.length > 0 && !this.#descriptors.some((each) => this.#isTerminal(each))
  }
}
