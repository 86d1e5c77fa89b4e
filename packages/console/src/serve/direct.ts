/**
 * Usual requests, answered without the framework: what it does for each takes longer than all else.
 *
 *     GET, alone on its connection     is offered to a {@link Direct}
 *     what that does not answer        goes through the framework, as does every other request
 *
 * So a direct answer must be what the framework would send. All that is refused, and all that takes
 * time, is left to it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

export interface DirectAnswer {
  /** Names and values in turns, before those that every answer has. */
  readonly headers: readonly string[]
  /** JSON in UTF-8, each byte as a character: it is written with the headers, in one piece. */
  readonly body: string
}

/** Answers at once, or not at all: then nothing has been counted. */
export type Direct = (request: IncomingMessage, url: string) => DirectAnswer | undefined

const JSON_TYPE = 'application/json; charset=utf-8'

/**
 * Offers requests to `direct` before the framework gets them, until the server closes.
 *
 * @param onAnswer called before an answer is sent
 */
export function addDirect(
  app: FastifyInstance,
  direct: Direct,
  onAnswer: (response: ServerResponse) => void,
): void {
  const { server } = app
  const [through] = server.listeners('request') as ((
    request: IncomingMessage,
    response: ServerResponse,
  ) => void)[]
  if (!through) throw new TypeError('the framework takes no requests')
  let isOpen = true
  app.addHook('preClose', (done) => {
    isOpen = false
    done()
  })
  server.off('request', through)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    // Without a socket it waits for the answer to an earlier request.
    const isUsual = isOpen && request.method === 'GET' && response.socket !== null
    const answer = isUsual ? direct(request, request.url ?? '') : undefined
    if (answer) {
      onAnswer(response)
      send(response, answer)
    } else through(request, response)
  })
}

function send(response: ServerResponse, { headers, body }: DirectAnswer): void {
  const length = String(body.length)
  // In the order of the framework.
  response.writeHead(200, [...headers, 'content-type', JSON_TYPE, 'content-length', length])
  response.end(body, 'latin1')
}
