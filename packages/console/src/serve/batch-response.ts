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
import { answerEncoding, Packer } from './encodings.js'

/** How long a peer may go on sending after it has been refused. */
const LINGER_MILLISECONDS = 2000

/** What answers to a client of HTTP/1.0 may have: they are held until all are there. */
const MAX_HELD_BYTES = 2 ** 24

/** Answers to a client of HTTP/1.0 that are too many to hold. */
export class AnswerTooLargeError extends Error {
  override readonly name = 'AnswerTooLargeError'
}

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
  readonly #encoding: string | undefined
  #packer: Packer | undefined
  /**
   * The answers so far to a client of HTTP/1.0. It would take the end of the connection for that of
   * the body, so it gets all of it or a status.
   */
  readonly #held: Uint8Array[] | undefined
  #heldBytes = 0
  /** That of the answers, until the first one is written. */
  status = 200
  #finished = false

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
    this.#encoding = answerEncoding(request)
    this.#held = request.httpVersionMinor === 0 ? [] : undefined
    response.once('close', () => {
      this.#packer?.destroy()
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

  /** @throws AnswerTooLargeError for a client of HTTP/1.0 */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#held) this.#hold(this.#held, bytes)
    else {
      this.#begin()
      await this.#write(this.#packer ? await this.#packer.pack(bytes) : bytes)
    }
  }

  /** All has been answered. */
  async end(): Promise<void> {
    const body = this.#held && Buffer.concat(this.#held)
    this.#begin(body?.length)
    const rest = body ?? (await this.#packer?.finish())
    this.#finished = true
    this.#response.end(rest)
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

  #hold(held: Uint8Array[], bytes: Uint8Array): void {
    this.#heldBytes += bytes.length
    if (this.#heldBytes > MAX_HELD_BYTES)
      throw new AnswerTooLargeError(
        `answers of more than ${MAX_HELD_BYTES} bytes need HTTP/1.1, in which a break shows`,
      )
    held.push(Uint8Array.from(bytes))
  }

  #begin(length?: number): void {
    if (this.isStreaming) return
    const headers: Record<string, string | number> = {
      'content-type': 'application/x-ndjson; charset=utf-8',
      vary: 'accept-encoding',
    }
    if (length !== undefined) headers['content-length'] = length
    else if (this.#encoding !== undefined) {
      headers['content-encoding'] = this.#encoding
      this.#packer = new Packer(this.#encoding)
    }
    this.#response.writeHead(this.status, headers)
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
    await this.write(Buffer.from(`${JSON.stringify(body)}\n`))
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
