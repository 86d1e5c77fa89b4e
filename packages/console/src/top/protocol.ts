/**
 * What goes over the socket of a machine that can be watched: a line of JSON for each inspection,
 * from the machine to the client. The client sends at most one line: how often it wants one.
 */
import type { Inspection } from 'percpu'

/** Sent by the client; without it one inspection comes, and the connection ends. */
export interface Subscription {
  /** Milliseconds between inspections, 50 to 60 000. */
  readonly every: number
}
export const MIN_EVERY = 50
export const MAX_EVERY = 60_000

export interface Report {
  readonly protocol: 1
  readonly pid: number
  /** What the process is called. */
  readonly title: string
  readonly inspection: Inspection
}

/** Splits what comes over a socket into lines. Longer ones than `limit` characters are an error. */
export class Lines {
  #rest = ''
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The lines that this piece completes. @throws RangeError for one that is too long. */
  push(piece: string): string[] {
    const lines = (this.#rest + piece).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > this.#limit) throw new RangeError(`a line of more than ${this.#limit} characters`)
    return lines
  }
}
