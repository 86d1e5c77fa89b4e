/**
 * `GET /changes`: changes as they are made, as server-sent events. Each has its sequence number as
 * its id, so that a client which comes back gets all that it has missed (`Last-Event-ID`).
 */
import type { ServerResponse } from 'node:http'
import { Refusal } from '../serve/refusal.js'
import type { ChangeEvent, ChangeFeed } from './history.js'

/** Clients at once. */
const MAX_CLIENTS = 256
/** How far a client may fall behind, bytes; then it is cut off, and may come back. */
const MAX_BEHIND = 4 * 2 ** 20
/** A line now and then keeps proxies from cutting the connection. */
const PING_MILLISECONDS = 15_000

export class ChangeStreams {
  readonly #feed: ChangeFeed
  readonly #clients = new Set<ServerResponse>()

  constructor(feed: ChangeFeed) {
    this.#feed = feed
  }

  get clients(): number {
    return this.#clients.size
  }

  /**
   * Answers with changes until the client goes away: those after the sequence number `after`, then
   * those to come.
   *
   * @param table only of this one
   * @throws Refusal
   */
  async serve(response: ServerResponse, table: string | undefined, after: number | undefined): Promise<void> {
    if (this.#clients.size >= MAX_CLIENTS)
      throw new Refusal(503, 'BUSY', `${MAX_CLIENTS} clients follow changes: try again later`)
    this.#clients.add(response)
    response.once('close', () => this.#clients.delete(response))
    const send = (text: string) => {
      // It may come back, and then goes on where it was.
      if (!response.write(text) && response.writableLength > MAX_BEHIND) response.destroy()
    }
    /** Those that are told before the answer has begun. */
    let early: ChangeEvent[] | undefined = []
    const tell = (event: ChangeEvent) => {
      if (table !== undefined && event.table !== table) return
      if (early) early.push(event)
      else send(textOf(event))
    }
    const { missed, last, stop } = await this.#feed.follow(after, tell)
    response.once('close', stop)
    if (response.destroyed) {
      stop()
      return
    }
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    // The id is where a client that comes back goes on, also if it has had nothing else.
    const id = missed === undefined || after === undefined ? last : after
    send(`event: ${missed === undefined ? 'reset' : 'open'}\nid: ${id}\ndata: {"sequence":${id}}\n\n`)
    const waiting = [...(missed ?? []), ...early]
    early = undefined
    waiting.forEach(tell)
    const ping = setInterval(() => send(': ping\n\n'), PING_MILLISECONDS)
    ping.unref()
    response.once('close', () => clearInterval(ping))
  }

  /** Ends all of them: they come back to whoever listens then. */
  close(): void {
    for (const response of this.#clients) response.end()
  }
}

function textOf({ sequence, kind, table, data }: ChangeEvent): string {
  return `event: ${kind}\nid: ${sequence}\ndata: {"table":${JSON.stringify(table)},${data.slice(1)}\n\n`
}
