/**
 * What goes over the socket of a machine that can be watched: lines of JSON. The client sends at
 * most one: how often it wants an inspection, or that it wants to know what spaces have. The
 * machine answers with a line for each inspection, or with that one.
 */
import type { Inspection, SpaceReport } from 'percpu'
import type { MemoryReport } from './memory.js'

/** Sent by the client; without it one inspection comes, and the connection ends. */
export interface Subscription {
  /** Milliseconds between inspections, 50 to 60 000. */
  readonly every: number
  /** Whether each comes with what the memory is used for. Default: false. */
  readonly memory?: boolean
}
/** Sent by the client in place of a {@link Subscription}: one {@link SpacesReport} comes. */
export interface SpacesRequest {
  readonly spaces: true
}
export const MIN_EVERY = 50
export const MAX_EVERY = 60_000

/** Of which process it is. */
export interface Sender {
  readonly protocol: 1
  readonly pid: number
  /** What the process is called. */
  readonly title: string
}
export interface Report extends Sender {
  readonly inspection: Inspection
  /** Where it was asked for. */
  readonly memory?: MemoryReport
}
export interface SpacesReport extends Sender {
  readonly spaces: readonly SpaceReport[]
}
/** In the place of another answer, and the last one: the machine could not tell. */
export interface Refusal extends Sender {
  readonly error: string
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
