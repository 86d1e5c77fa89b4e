/** Has a running service answer: `percpu lookup --server URL`. */
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { pipeline } from 'node:stream/promises'
import { ServiceError } from '../errors.js'
import type { InputFormat, Sink } from './stream.js'

const TYPES: Readonly<Record<InputFormat, string>> = {
  text: 'text/plain',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
}
/** Of an answer that says what is wrong. */
const MAX_ERROR_BYTES = 4096

/**
 * Sends all of `input` as one request, and gives `sink` the answers as they come. When it ends
 * early it does not wait for what `input` gives next: that is the caller's to destroy.
 *
 * @param server the service's URL, under which it has `lookup`
 * @throws ServiceError if it cannot be asked, refuses, or breaks off; what input and sink throw
 */
export async function askService(
  server: URL,
  input: AsyncIterable<Uint8Array>,
  format: InputFormat,
  sink: Sink,
): Promise<void> {
  const url = new URL('lookup', server.href.endsWith('/') ? server : `${server.href}/`)
  // Without a password.
  const shown = `${url.origin}${url.pathname}`
  const { request } = url.protocol === 'https:' ? https : http
  const outgoing = request(url, { method: 'POST', headers: { 'content-type': TYPES[format] } })
  const failed = new AbortController()
  const sent = { isWhole: false }
  // A service that refuses stops reading: what it answers is what counts.
  pipeline(noting(input, failed, sent), outgoing).catch(() => undefined)
  try {
    const [response] = (await once(outgoing, 'response', failed)) as [IncomingMessage]
    if (response.statusCode === 200) {
      await take(response, sink)
      if (!sent.isWhole) throw new ServiceError(`${shown} has ended before all was sent`, { url: shown })
    } else await refuse(shown, response)
  } catch (error) {
    if (failed.signal.aborted) throw failed.signal.reason
    throw isOfConnection(error)
      ? new ServiceError(`cannot ask ${shown}: ${error.message}`, { url: shown }, { cause: error })
      : error
  } finally {
    outgoing.destroy()
  }
}

async function take(response: IncomingMessage, sink: Sink): Promise<void> {
  for await (const piece of response as AsyncIterable<Buffer>) await sink.write(piece)
}

async function refuse(url: string, response: IncomingMessage): Promise<void> {
  let text = ''
  for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>)
    if (text.length < MAX_ERROR_BYTES) text += piece
  const { error, code } = parseRefusal(text)
  // An input without addresses has no answers here either.
  if (code === 'EMPTY_BODY') return
  throw new ServiceError(`${url} refuses: ${error ?? `HTTP status ${response.statusCode}`}`, {
    url,
    status: response.statusCode,
    code,
  })
}

function parseRefusal(text: string): { readonly error?: string; readonly code?: string } {
  try {
    return JSON.parse(text) as { error?: string; code?: string }
  } catch {
    // Of something else that answers at this URL: its status tells.
    return {}
  }
}

/** The input; `failed` gets its error, and `sent` its end. */
async function* noting(
  input: AsyncIterable<Uint8Array>,
  failed: AbortController,
  sent: { isWhole: boolean },
): AsyncGenerator<Uint8Array> {
  try {
    yield* input
    sent.isWhole = true
  } catch (error) {
    failed.abort(error)
    throw error
  }
}

function isOfConnection(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && !('details' in error)
}
