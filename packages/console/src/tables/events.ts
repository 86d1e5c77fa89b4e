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
    const stream = new ChangeStream(response)
    const isWanted = (event: ChangeEvent) => table === undefined || event.table === table
    const { missed, last, stop } = await this.#feed.follow(after, {
      tell(event) {
        if (isWanted(event)) stream.tell(event)
      },
      // Coming back, it hears that it has to list anew.
      restart: () => response.end(),
    })
    response.once('close', stop)
    if (response.destroyed || response.writableEnded) {
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
    const first = `event: ${missed === undefined ? 'reset' : 'open'}\nid: ${id}\ndata: {"sequence":${id}}\n\n`
    stream.open(first, missed?.filter(isWanted) ?? [])
    const ping = setInterval(() => stream.ping(), PING_MILLISECONDS)
    ping.unref()
    response.once('close', () => clearInterval(ping))
  }

  /** Ends all of them: they come back to whoever listens then. */
  close(): void {
    for (const response of this.#clients) response.end()
  }
}

/** What a client is sent: as fast as it reads, and what it has missed first. */
class ChangeStream {
  readonly #response: ServerResponse
  /** What waits for the client. */
  #missed: readonly ChangeEvent[] = []
  #told: ChangeEvent[] = []
  /** Of what was missed, and of what was told, as much is written. */
  #at = 0
  /** Bytes that were told and are not written. */
  #behind = 0
  #canWrite = false

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('drain', () => {
      this.#canWrite = true
      this.#write()
    })
  }

  /** Begins; nothing that was told before is lost. */
  open(first: string, missed: readonly ChangeEvent[]): void {
    this.#missed = missed
    this.#canWrite = this.#response.write(first)
    this.#write()
  }
  /** A client that is too far behind is cut off: it may come back, and goes on where it was. */
  tell(event: ChangeEvent): void {
    this.#told.push(event)
    this.#behind += event.data.length
    this.#write()
    if (this.#behind > MAX_BEHIND) this.#response.destroy()
  }
  ping(): void {
    if (this.#canWrite && !this.#response.writableEnded) this.#canWrite = this.#response.write(': ping\n\n')
  }

  #write(): void {
    while (this.#canWrite && !this.#response.writableEnded) {
      const waiting = this.#missed.length > 0 ? this.#missed : this.#told
      const event = waiting[this.#at++]
      if (event) {
        if (waiting === this.#told) this.#behind -= event.data.length
        this.#canWrite = this.#response.write(textOf(event))
        continue
      }
      this.#at = 0
      if (waiting === this.#missed) this.#missed = []
      else {
        this.#told = []
        return
      }
    }
  }
}

function textOf({ sequence, kind, table, data }: ChangeEvent): string {
  return `event: ${kind}\nid: ${sequence}\ndata: {"table":${JSON.stringify(table)},${data.slice(1)}\n\n`
}
