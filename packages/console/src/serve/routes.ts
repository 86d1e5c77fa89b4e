import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { explainBadAddress, shorten } from '../address/parse.js'
import { readAddress, type AddressRules } from '../address/rules.js'
import { codeOf } from '../error-code.js'
import { AbortedError, InputTooLargeError, MalformedInputError, WorkerLostError } from '../errors.js'
import { lookUp, lookUpCharacters } from '../lookup/answer.js'
import { answerStream, type BatchRunner, type InputFormat } from '../lookup/stream.js'
import type { FirstTable } from '../table/first-table.js'
import { webPaths } from '../web/routes.js'
import { AnswerTooLargeError, BatchResponse, type ErrorBody } from './batch-response.js'
import { encodingOf, unpacked } from './encodings.js'
import type { Direct } from './direct.js'
import type { Health } from './health.js'
import { Refusal } from './refusal.js'
import type { BatchOutcome, RequestMetrics, SingleResult } from './request-metrics.js'
import { createServer, type KnownPath, type ServerOptions } from './server.js'

export interface RouteContext {
  /** Who answers batches. */
  readonly runner: BatchRunner
  /** Batches of a request that are under way at once. */
  readonly window: number
  /** This thread's view of the table. */
  readonly table: FirstTable
  readonly metrics: RequestMetrics
  /** Most bytes of a POST body. */
  readonly bodyLimit: number
  /** What addresses are. */
  readonly rules: AddressRules
  readonly health: () => Health | Promise<Health>
  /** What GET /metrics shows. */
  readonly exposition: () => Promise<string>
}

/** Large enough to keep workers busy, small enough that slow clients do not hold much memory. */
const BATCH_BYTES = 64 * 1024
/** POST requests under way at once in a thread; each may hold a few batches and their answers. */
const MAX_BATCHES = 64

const formats: Readonly<Record<string, InputFormat>> = {
  'text/plain': 'text',
  'application/json': 'json',
  'application/x-ndjson': 'ndjson',
}

/** What {@link addRoutes} adds. */
const paths: readonly KnownPath[] = [
  { path: /^\/lookup$/, methods: 'POST' },
  { path: /^\/(health|metrics|lookup\/[^/]*)$/, methods: 'GET, HEAD' },
]
const offer = 'GET /, GET /lookup/{address}, POST /lookup, GET /health, GET /metrics'

/** The server, without the page. It does not listen yet. */
export function createLookupServer(
  context: RouteContext,
  options: Pick<ServerOptions, 'logger' | 'timeoutMilliseconds'>,
): FastifyInstance {
  return createServer({
    ...{ ...options, offer, unsupportedType, bodyLimit: context.bodyLimit },
    paths: [...webPaths, ...paths],
    direct: directLookups(context),
    addRoutes: (app) => addRoutes(app, context),
  })
}

function addRoutes(app: FastifyInstance, context: RouteContext): void {
  // Bodies are streamed: the handler reads the request itself.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(Object.keys(formats), (_request, payload, done) => done(null, payload))
  app.get('/lookup/:address', (request, reply) => single(context, request, reply))
  const batches = new Batches(context)
  app.post('/lookup', (request, reply) => batches.handle(request, reply))
  app.get('/health', async (_request, reply) => {
    const { isAlive, body } = await context.health()
    return reply.code(isAlive ? 200 : 503).send(body)
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(context.metrics.registry.contentType).send(await context.exposition()),
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// GET /lookup/:address

const LOOKUP = '/lookup/'
/** What is written in a URL as it is. */
const PLAIN_ADDRESS = /^[0-9A-Fa-f.:]{2,45}$/
const NO_HEADERS: readonly string[] = []

/** Answers addresses that a range holds. */
function directLookups({ table, metrics, rules }: RouteContext): Direct {
  return (_request, url) => {
    if (!url.startsWith(LOOKUP)) return undefined
    const began = performance.now()
    const text = url.slice(LOOKUP.length)
    const address = PLAIN_ADDRESS.test(text) ? readAddress(text, rules) : undefined
    const body = address && lookUpCharacters(table.now, text, address)
    if (body === undefined) return undefined
    metrics.countSingle('found', began)
    return { headers: NO_HEADERS, body }
  }
}

function single(
  { table, metrics, rules }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const began = performance.now()
  const { address: text } = request.params as { address: string }
  const count = (result: SingleResult) => metrics.countSingle(result, began)
  const address = readAddress(text, rules)
  if (!address) {
    count('refused')
    const shown = shorten(text)
    const error = `'${shown}' ${explainBadAddress(text).replace(/^(not|empty)/, 'is $1')}`
    return reply.code(400).send({ error, code: 'BAD_ADDRESS', address: shown })
  }
  const answer = lookUp(table.now, text, address)
  count(answer ? 'found' : 'gap')
  if (answer) return reply.send(answer)
  return reply
    .code(404)
    .send({ error: `no range of the table holds ${text}`, code: 'NO_RANGE', address: text })
}

// ---------------------------------------------------------------------------------------------------------------------
// POST /lookup

class Batches {
  readonly #context: RouteContext
  #active = 0

  constructor(context: RouteContext) {
    this.#context = context
  }

  async handle(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { metrics } = this.#context
    const began = performance.now()
    reply.hijack()
    const response = new BatchResponse(request.raw, reply.raw)
    this.#active++
    let outcome: BatchOutcome = 'complete'
    try {
      const format = this.#accept(request)
      const answered = await this.#answer(request, response, format)
      metrics.countBatch(answered)
      await response.end()
    } catch (error) {
      const refusal = refusalOf(error)
      outcome = refusal.outcome
      if (outcome === 'failed') request.log.error({ err: error }, 'batch failed')
      await response.fail(refusal.status, refusal.body)
    } finally {
      this.#active--
      metrics.batches.inc({ outcome })
      metrics.batchSeconds.observe((performance.now() - began) / 1000)
    }
  }

  /** What can be refused before the body is read. */
  #accept(request: FastifyRequest): InputFormat {
    const { bodyLimit } = this.#context
    const declared = Number(request.headers['content-length'] ?? 0)
    if (declared > bodyLimit) {
      throw new InputTooLargeError(`the body has ${declared} bytes, above the limit of ${bodyLimit}`, {
        bodyLimit,
      })
    }
    encodingOf(request.raw)
    if (this.#active > MAX_BATCHES)
      throw new Refusal(503, 'BUSY', `${MAX_BATCHES} batches are under way: try again later`)
    const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase() ?? ''
    const format = formats[type]
    if (!format) throw unsupportedType(type)
    return format
  }

  async #answer(request: FastifyRequest, response: BatchResponse, format: InputFormat): Promise<number> {
    const { runner, window, bodyLimit } = this.#context
    const encoding = encodingOf(request.raw)
    const body = encoding === 'identity' ? undefined : unpacked(request.raw, encoding)
    const { answered } = await answerStream(runner, body?.bytes ?? request.raw, response, {
      format,
      batchBytes: BATCH_BYTES,
      window,
      // Of what it unpacks to.
      limit: bodyLimit,
      signal: response.signal,
    }).finally(() => body?.end())
    if (answered === 0 && format !== 'json') {
      throw new Refusal(400, 'EMPTY_BODY', 'the body holds no address: send one a line')
    }
    return answered
  }
}

/** The answer to a body of another type than the three. */
function unsupportedType(type: string): Refusal {
  const found = type === '' ? 'there is no content-type' : `content-type '${shorten(type)}' is not supported`
  return new Refusal(415, 'UNSUPPORTED_TYPE', `${found}: send ${Object.keys(formats).join(', ')}`)
}

interface RefusalAnswer {
  readonly status: number
  readonly body: ErrorBody
  readonly outcome: BatchOutcome
}

function refusalOf(error: unknown): RefusalAnswer {
  const message = error instanceof Error ? error.message : String(error)
  const answer = (status: number, code: string, outcome: BatchOutcome, text = message): RefusalAnswer => ({
    status,
    body: { error: text, code },
    outcome,
  })
  if (error instanceof AnswerTooLargeError) return answer(505, 'HTTP_VERSION', 'refused')
  if (error instanceof Refusal) return answer(error.status, error.code, 'refused')
  if (codeOf(error)?.startsWith('Z_') === true || codeOf(error)?.startsWith('ZSTD_') === true)
    return answer(400, 'MALFORMED_BODY', 'refused', `the body is not packed as it says: ${message}`)
  if (error instanceof MalformedInputError) return answer(400, 'MALFORMED_BODY', 'refused')
  if (error instanceof InputTooLargeError) return answer(413, 'BODY_TOO_LARGE', 'refused')
  if (error instanceof AbortedError || isConnectionError(error)) return answer(503, 'ABORTED', 'aborted')
  if (error instanceof WorkerLostError) return answer(503, 'WORKER_LOST', 'failed')
  return { status: 500, body: { error: 'internal error', code: 'INTERNAL' }, outcome: 'failed' }
}

function isConnectionError(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')
  )
}
