/**
 * Those who look at the page: streams of server-sent events.
 *
 *     hello   once: what the service has
 *     frame   every second: frame.ts
 *     gone    instead: why the machine tells nothing
 *
 * The machine is watched while there are viewers, once for all of them.
 */
import type { ServerResponse } from 'node:http'
import { frameOf, type LookupCount } from './frame.js'
import type { LiveSource, Told } from './source.js'

export const MAX_VIEWERS = 32

/** Milliseconds after which a browser that was cut off comes again. */
const RETRY = 1000

export interface ViewersOptions {
  readonly source: LiveSource
  readonly lookups: (() => Promise<readonly LookupCount[]>) | undefined
  /** What each viewer is told first. */
  readonly hello: () => object
}

export class Viewers {
  readonly #options: ViewersOptions
  readonly #responses = new Set<ServerResponse>()
  #stop: (() => void) | undefined
  /** The last event, while the machine is watched. */
  #last: string | undefined

  constructor(options: ViewersOptions) {
    this.#options = options
  }

  get isFull(): boolean {
    return this.#responses.size >= MAX_VIEWERS
  }

  /** Sends events, as the body of a response whose headers have been written. */
  add(response: ServerResponse): void {
    this.#responses.add(response)
    response.once('close', () => this.#remove(response))
    response.write(`retry: ${RETRY}\n${eventOf('hello', this.#options.hello())}${this.#last ?? ''}`)
    this.#stop ??= this.#options.source.watch((told) => void this.#tell(told))
  }

  /** Ends the streams: a server that closes waits for none of them. */
  close(): void {
    for (const response of this.#responses) response.end()
  }

  #remove(response: ServerResponse): void {
    this.#responses.delete(response)
    if (this.#responses.size > 0) return
    this.#stop?.()
    this.#stop = undefined
    this.#last = undefined
  }

  async #tell(told: Told): Promise<void> {
    const text =
      'error' in told
        ? eventOf('gone', { error: told.error })
        : eventOf('frame', frameOf(told, await this.#options.lookups?.()))
    if (this.#responses.size === 0) return
    this.#last = text
    // Who reads slowly gets a later one.
    for (const response of this.#responses) if (!response.writableNeedDrain) response.write(text)
  }
}

function eventOf(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
