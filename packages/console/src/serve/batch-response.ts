/**
 * The response to a batch: NDJSON that begins with the first answers, so that whatever is found to
 * be wrong before can still be told by a status code.
 *
 * After a failure the connection is given a moment in which the rest of the request is read and
 * thrown away: closing it under a peer that is still sending would reset it, and the peer might
 * never see the explanation.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AbortedError } from '../errors.js'
import type { Sink } from '../lookup/stream.js'

/** How long a peer may go on sending after it has been refused. */
const LINGER_MILLISECONDS = 2000

export interface ErrorBody {
  /** What is wrong, for people. */
  readonly error: string
  /** The same, for programs. */
  readonly code: string
}

export class BatchResponse implements Sink {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #gone = new AbortController()
  #finished = false

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
    response.once('close', () => {
      if (!this.#finished) this.#gone.abort()
    })
    if (response.destroyed) this.#gone.abort()
  }

  /** Aborted when the client goes away before the end. */
  get signal(): AbortSignal {
    return this.#gone.signal
  }
  get isStreaming(): boolean {
    return this.#response.headersSent
  }

  write(bytes: Uint8Array): Promise<void> {
    this.#begin()
    return this.#write(bytes)
  }

  /** All has been answered. */
  end(): void {
    this.#begin()
    this.#finished = true
    this.#response.end()
  }

  /**
   * Tells what is wrong: by `status` if nothing has been sent yet, else as a last line before an
   * abnormal end.
   */
  async fail(status: number, body: ErrorBody): Promise<void> {
    if (this.signal.aborted) return
    this.#finished = true
    try {
      if (this.isStreaming) await this.#break(body)
      else await this.#refuse(status, body)
    } catch (error) {
      if (!(error instanceof AbortedError)) throw error
    }
  }

  #begin(): void {
    if (this.isStreaming) return
    this.#response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8' })
  }

  async #refuse(status: number, body: ErrorBody): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
    this.#response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': bytes.length,
      connection: 'close',
    })
    // Complete by its length; the end, which closes the connection, comes when the request has been
    // read.
    await this.#write(bytes)
    if (this.#request.complete) {
      this.#response.end()
      return
    }
    this.#request.once('end', () => this.#response.end())
    this.#linger()
  }

  /** Without the chunk that ends the body, a client sees that it is incomplete. */
  async #break(body: ErrorBody): Promise<void> {
    await this.#write(Buffer.from(`${JSON.stringify(body)}\n`))
    this.#response.socket?.end()
    this.#linger()
  }

  #linger(): void {
    this.#request.resume()
    const timer = setTimeout(() => this.#response.socket?.destroy(), LINGER_MILLISECONDS)
    this.#response.once('close', () => clearTimeout(timer))
  }

  #write(bytes: Uint8Array): Promise<void> {
    const { signal } = this
    return new Promise((resolve, reject) => {
      const gone = () => reject(new AbortedError('the client went away'))
      if (signal.aborted) return gone()
      signal.addEventListener('abort', gone, { once: true })
      this.#response.once('close', gone)
      this.#response.write(bytes, (error) => {
        signal.removeEventListener('abort', gone)
        this.#response.off('close', gone)
        if (error) gone()
        else resolve()
      })
    })
  }
}
