/** The HTTP server: limits, time-outs, and errors that say what is wrong. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import {
  fastify,
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify'
import type { Logger } from 'pino'
import { shorten } from '../address/parse.js'
import type { ErrorBody } from './batch-response.js'
import { addDirect, type Direct } from './direct.js'
import type { Refusal } from './refusal.js'

/** A path that there is. */
export interface KnownPath {
  readonly path: RegExp
  /** As the header `Allow` has them. */
  readonly methods: string
}

export interface ServerOptions {
  readonly logger: Logger
  readonly bodyLimit: number
  /** What there is: for whoever asks for something else. */
  readonly paths: readonly KnownPath[]
  /** The same in words. */
  readonly offer: string
  /** The answer to a body of a type that no route takes. */
  readonly unsupportedType: (type: string) => Refusal
  /** Answers usual requests before the routes would. */
  readonly direct?: Direct | undefined
  /** Adds the routes. */
  readonly addRoutes: (app: FastifyInstance) => void
  /** Longest time for a whole request to arrive, and longest silence on a connection. */
  readonly timeoutMilliseconds: number
}

const MAX_HEADER_BYTES = 16 * 1024
/** Longest time for the headers of a request to arrive. */
const HEADERS_MILLISECONDS = 10_000
/** Bytes of answers that may wait for a client which asks for more; then it is cut off. */
const MAX_UNREAD_BYTES = 16 * 2 ** 20
/** Longer paths than any address deserves, but short enough to be explained. */
const MAX_PARAMETER_LENGTH = 1000
/** Of a URL, as much is repeated, with a mark that it was cut: 256 bytes. */
const ECHO = 253

export function createServer({
  logger,
  bodyLimit,
  paths,
  offer,
  unsupportedType,
  direct,
  addRoutes,
  timeoutMilliseconds,
}: ServerOptions): FastifyInstance {
  // Its own messages only from warnings on: the service says itself where it listens.
  const level = logger.isLevelEnabled('warn') ? 'warn' : logger.level
  const underWay = new ResponsesUnderWay()
  const loggerInstance: FastifyBaseLogger = logger.child({}, { level })
  const app = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    requestTimeout: timeoutMilliseconds,
    connectionTimeout: timeoutMilliseconds,
    schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Math.min(HEADERS_MILLISECONDS, timeoutMilliseconds),
      // How often the two time-outs above are looked at.
      connectionsCheckingInterval: Math.max(50, Math.min(1000, timeoutMilliseconds / 4)),
    },
    frameworkErrors(error, request, reply) {
      sendError(error, request, reply, unsupportedType)
    },
    clientErrorHandler(error, socket) {
      refuseConnection(error, socket, underWay.mayRefuse(socket))
    },
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw
    // Requests that came in one piece are all told, also when the connection is gone.
    if (socket.destroyed) return
    if (underWay.unread(socket) > MAX_UNREAD_BYTES) {
      socket.destroy()
      return
    }
    underWay.add(socket, reply.raw)
    done()
  })
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, unsupportedType))
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?')
    const methodsOf = (tried: string) => paths.find((known) => known.path.test(tried))?.methods
    const methods = methodsOf(path)
    const slashless = path.replace(/\/$/, '')
    const isSlashed = methods === undefined && methodsOf(slashless) !== undefined
    const code = methods === undefined ? 'NO_SUCH_PATH' : 'METHOD_NOT_ALLOWED'
    if (methods !== undefined) reply.header('allow', methods)
    return reply.code(methods === undefined ? 404 : 405).send({
      error:
        `there is no ${request.method} ${shown(request.url)}: ` +
        (isSlashed ? `leave out the slash at the end, as in ${shown(slashless)}` : `see ${offer}`),
      code,
    })
  })
  addRoutes(app)
  // What follows an answer on its connection and is no request breaks off, whoever answered.
  if (direct) addDirect(app, direct, (response) => underWay.add(response.socket as Socket, response))
  return app
}

/** No route has a schema, and loading the compilers of schemas takes 0.1 s or more. */
function noSchemas(): never {
  throw new TypeError('a route has a schema')
}

/**
 * Errors that Fastify itself finds, before a route's handler runs, and those that nobody foresaw.
 */
function sendError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  unsupportedType: ServerOptions['unsupportedType'],
): FastifyReply {
  const { code, statusCode = 500, message } = error as { code?: string; statusCode?: number; message: string }
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || code === 'FST_ERR_CTP_EMPTY_TYPE') {
    const refusal = unsupportedType(request.headers['content-type'] ?? '')
    request.raw.resume()
    return reply
      .code(refusal.status)
      .header('connection', 'close')
      .send({ error: refusal.message, code: refusal.code })
  }
  if (statusCode < 500) return reply.code(statusCode).send(refusalOf(statusCode, message, request))
  request.log.error({ err: error }, 'request failed')
  return reply.code(500).send({ error: 'internal error', code: 'INTERNAL' })
}

/** What Fastify has refused, in words and codes of our own. */
function refusalOf(status: number, message: string, request: FastifyRequest): ErrorBody {
  const url = shown(request.url)
  if (status === 414) return { error: `'${url}' is longer than any address`, code: 'URL_TOO_LONG' }
  if (status === 413) return { error: shorten(message, ECHO), code: 'BODY_TOO_LARGE' }
  if (status === 400) return { error: `'${url}' is not a valid URL`, code: 'BAD_URL' }
  return { error: shorten(message, ECHO), code: 'BAD_REQUEST' }
}

function shown(url: string): string {
  return shorten(url.replace(/[^!-~]/g, '?'), ECHO)
}

type ConnectionError = readonly [status: string, code: string, text: string]

const connectionErrors: Readonly<Record<string, ConnectionError>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'REQUEST_TIMEOUT', 'the request took too long to arrive'],
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'HEADERS_TOO_LARGE',
    `the headers are longer than ${MAX_HEADER_BYTES} bytes`,
  ],
}
const NOT_HTTP: ConnectionError = ['400 Bad Request', 'BAD_REQUEST', 'this is not an HTTP request']

/** The responses of each connection that have not been written to their ends. */
class ResponsesUnderWay {
  readonly #of = new WeakMap<Socket, Set<ServerResponse>>()

  add(socket: Socket, response: ServerResponse): void {
    const responses = this.#of.get(socket) ?? new Set()
    this.#of.set(socket, responses.add(response))
    response.once('close', () => responses.delete(response))
  }

  /** Bytes that wait until the client reads. */
  unread(socket: Socket): number {
    let bytes = 0
    for (const { writableLength } of this.#of.get(socket) ?? []) bytes += writableLength
    return bytes
  }

  /**
   * Whether another response may be written: not into one that has begun, and not in place of one
   * to an earlier request.
   */
  mayRefuse(socket: Socket): boolean {
    const [first, ...others] = this.#of.get(socket) ?? []
    return others.length === 0 && first?.headersSent !== true
  }
}

/**
 * What comes in is not HTTP, too slow or too long: there is no request to answer, only a
 * connection. It is broken off where a response is under way on it.
 */
function refuseConnection(error: Error & { code?: string }, socket: Socket, mayAnswer: boolean): void {
  if (error.code === 'ECONNRESET' || !socket.writable || !mayAnswer) {
    socket.destroy()
    return
  }
  const [status, code, text] = connectionErrors[error.code ?? ''] ?? NOT_HTTP
  const body = `${JSON.stringify({ error: text, code })}\n`
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}
