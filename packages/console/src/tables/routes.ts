/** What the service of tables answers; docs/tables.md has the same for users. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { shorten } from '../address/parse.js'
import { answerEncoding, packedWhole } from '../serve/encodings.js'
import { Refusal } from '../serve/refusal.js'
import type { Direct } from '../serve/direct.js'
import { createServer, type KnownPath, type ServerOptions } from '../serve/server.js'
import { webPaths } from '../web/routes.js'
import { noSuchKey, TableBatches, unauthorized } from './batch.js'
import { readText } from './body.js'
import type { ChangeStreams } from './events.js'
import { BadKey } from './keys.js'
import { checkParameters, pageJson } from './listing.js'
import { conditionOf, etagOf, rangeInPath, refusalOf, valueOf, versionIn } from './operations.js'
import { MAX_VALUE_BYTES, type Row, type Table } from './table.js'
import type { RequestMetrics } from './metrics.js'
import type { Place } from './place.js'
import type { Changes } from './request.js'

export interface Health {
  readonly isAlive: boolean
  readonly body: object
}

export interface TableContext {
  readonly tables: ReadonlyMap<string, Table>
  readonly changes: Changes
  readonly streams: ChangeStreams
  readonly metrics: RequestMetrics
  readonly bodyLimit: number
  /** Whether a request may change tables, by its header `Authorization`. */
  readonly mayWrite: (authorization: string | undefined) => boolean
  /** Sequence number of the last change. */
  readonly sequence: () => number | Promise<number>
  /** Where other nodes make changes, too. */
  readonly place?: Place | undefined
  readonly health: () => Promise<Health> | Health
  /** What GET /metrics shows. */
  readonly exposition: () => Promise<string>
}

/** White space in a body is not kept: some is allowed. */
const BODY_BYTES = 4 * MAX_VALUE_BYTES
/** What packs an answer on its way makes of an ETag. */
const WEAK = /^\s*W\//
const JSON_TYPE = 'application/json; charset=utf-8'

const paths: readonly KnownPath[] = [
  { path: /^\/(health|metrics|tables)$/, methods: 'GET, HEAD' },
  { path: /^\/changes$/, methods: 'GET' },
  { path: /^\/tables\/[^/]+$/, methods: 'GET, HEAD, POST' },
  { path: /^\/tables\/[^/]+\/[^/]*$/, methods: 'GET, HEAD, PUT, DELETE' },
]
const offer =
  'GET /, GET /tables, GET and POST /tables/{name}, GET, PUT and DELETE /tables/{name}/{key} (with %2F for a slash in a key), GET /changes, GET /health, GET /metrics'

/** Bodies of any type are read as JSON; there is none to refuse. */
function unsupportedType(type: string): Refusal {
  return new Refusal(
    415,
    'UNSUPPORTED_TYPE',
    `content-type '${shorten(type)}' is not supported: send application/json`,
  )
}

/** The server, without the page. It does not listen yet. */
export function createTableServer(
  context: TableContext,
  options: Pick<ServerOptions, 'logger' | 'timeoutMilliseconds'>,
): FastifyInstance {
  return createServer({
    ...{ ...options, offer, unsupportedType, bodyLimit: context.bodyLimit },
    paths: [...webPaths, ...paths],
    direct: directReads(context),
    addRoutes: (app) => addRoutes(app, context),
  })
}

/** What is shorter is sent as it is: it fits one packet. */
const PACK_FROM = 1400

/** Packed, if the client takes that. */
async function sendPage(request: FastifyRequest, reply: FastifyReply, page: string): Promise<FastifyReply> {
  reply.type(JSON_TYPE).header('vary', 'accept-encoding')
  const encoding = page.length < PACK_FROM ? undefined : answerEncoding(request.raw)
  if (encoding === undefined) return reply.send(page)
  return reply.header('content-encoding', encoding).send(await packedWhole(encoding, Buffer.from(page)))
}

function addRoutes(app: FastifyInstance, context: TableContext): void {
  const { tables, metrics, streams } = context
  const batches = new TableBatches(context)
  if (context.place) addSequences(app, context.place)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  const answer =
    (work: (request: FastifyRequest, reply: FastifyReply) => FastifyReply | Promise<FastifyReply>) =>
    async (request: FastifyRequest, reply: FastifyReply) => {
      try {
        return await work(request, reply)
      } catch (error) {
        if (error instanceof Refusal) return refuse(reply, error)
        throw error
      }
    }
  app.get('/tables', async (_request, reply) => {
    const sequence = await context.sequence()
    return reply.send([...tables.values()].map((table) => ({ ...describe(table), sequence })))
  })
  app.get(
    '/tables/:name',
    answer((request, reply) => {
      const query = queryOf(request)
      return sendPage(request, reply, pageJson(tableOf(context, request), query))
    }),
  )
  app.post('/tables/:name', async (request, reply) => {
    let table: Table
    try {
      table = tableOf(context, request)
    } catch (error) {
      if (error instanceof Refusal) return refuse(reply, error)
      throw error
    }
    return batches.handle(table, context.mayWrite(request.headers.authorization), request, reply)
  })
  app.get(
    '/tables/:name/:key',
    answer((request, reply) => read(context, request, reply)),
  )
  app.put(
    '/tables/:name/:key',
    answer((request, reply) => change(context, request, reply)),
  )
  app.delete(
    '/tables/:name/:key',
    answer((request, reply) => change(context, request, reply)),
  )
  app.get(
    '/changes',
    { exposeHeadRoute: false },
    answer(async (request, reply) => {
      const { table, after } = followed(context, request)
      await streams.serve(reply.raw, table, after)
      return reply.hijack()
    }),
  )
  app.get('/health', async (_request, reply) => {
    const { isAlive, body } = await context.health()
    return reply.code(isAlive ? 200 : 503).send(body)
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await context.exposition()),
  )
}

const SEQUENCE = 'x-percpu-sequence'

/**
 * A client of several nodes goes forward only: each answer says up to which change it may be, and a
 * request may say from which one on it wants its answer.
 */
function addSequences(app: FastifyInstance, place: Place): void {
  app.addHook('onRequest', async (request, reply) => {
    const text = request.headers[SEQUENCE]
    try {
      if (typeof text === 'string' && !/^\d{1,16}$/.test(text))
        throw new Refusal(400, 'BAD_QUERY', `${SEQUENCE} '${shorten(text)}' is no sequence number`)
      if (text !== undefined) await place.reach(Number(text))
      // Behind `reach`: the list is counted before that change is. Mutant: tables/list-unknown.
      if (!place.knowsTables) await place.learnTables()
    } catch (error) {
      if (error instanceof Refusal) return refuse(reply, error)
      throw error
    }
    reply.header(SEQUENCE, place.newest)
  })
  // A change has been applied meanwhile, and what was read may be later.
  app.addHook('onSend', async (_request, reply) => {
    reply.header(SEQUENCE, place.newest)
  })
}

function refuse(reply: FastifyReply, { status, code, message }: Refusal): FastifyReply {
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  // What is left of its body is not read.
  if (status === 413 || status === 401) reply.header('connection', 'close')
  return reply.code(status).send({ error: message, code })
}

/** @throws Refusal for parameters beside those that are `known` */
function queryOf(request: FastifyRequest, known?: readonly string[]): URLSearchParams {
  const query = new URL(request.url, 'http://localhost').searchParams
  if (known) checkParameters(query, known)
  return query
}

function tableOf({ tables }: TableContext, request: FastifyRequest): Table {
  const { name } = request.params as { name: string }
  const table = tables.get(name)
  if (table) return table
  const message =
    name === '' ? 'the table has no name: GET /tables lists them' : `there is no table '${shorten(name)}'`
  throw new Refusal(404, 'NO_SUCH_TABLE', message)
}

function describe(table: Table): object {
  const { name, keys, isRange } = table.spec
  return { name, kind: isRange ? 'range' : 'key', keys, entries: table.size }
}

function read(context: TableContext, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const table = tableOf(context, request)
  queryOf(request, [])
  const { key: text } = request.params as { key: string }
  const key = table.codec.parse(text)
  if (key instanceof BadKey) throw new Refusal(400, 'BAD_KEY', `key '${shorten(text)}' ${key.reason}`)
  const row = table.get(key)
  context.metrics.countRead(table.name, row ? 'found' : 'missing')
  if (!row) throw noSuchKey()
  reply.header('etag', etagOf(row.version))
  if (table.spec.isRange) reply.header('content-range-of', rangeText(table, row))
  const known = request.headers['if-none-match']
  if (
    known !== undefined &&
    known.split(',').some((etag) => versionIn(etag.replace(WEAK, '')) === row.version || etag.trim() === '*')
  )
    return reply.code(304).send()
  return reply.type(JSON_TYPE).send(row.value)
}

/** As a URL has a table and a key that need no decoding. */
const PLAIN_ROW = /^\/tables\/([\w-]+)\/([\w.:-]+)$/
/** Longer values are not made text of. */
const DIRECT_BYTES = 16_384

/** Answers keys that a table has, of small values, where no header changes the answer. */
function directReads({ tables, metrics, place }: TableContext): Direct {
  return ({ headers }, url) => {
    if (place && (headers[SEQUENCE] !== undefined || !place.knowsTables)) return undefined
    const [, name = '', text = ''] = PLAIN_ROW.exec(url) ?? []
    const table = tables.get(name)
    const key = table?.codec.parse(text)
    if (!table || key === undefined || key instanceof BadKey) return undefined
    const row = table.get(key)
    if (!row || row.value.length > DIRECT_BYTES || headers['if-none-match'] !== undefined) return undefined
    metrics.countRead(name, 'found')
    const at = place ? [SEQUENCE, String(place.newest)] : []
    const range = table.spec.isRange ? ['content-range-of', rangeText(table, row)] : []
    return {
      headers: [...at, 'etag', etagOf(row.version), ...range],
      body: row.value.toString('latin1'),
    }
  }
}

async function change(
  context: TableContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const table = tableOf(context, request)
  if (!context.mayWrite(request.headers.authorization)) throw unauthorized()
  queryOf(request, [])
  const { key } = request.params as { key: string }
  const range = rangeInPath(table, key)
  const condition = conditionOf(request.headers)
  const deletes = request.method === 'DELETE'
  const value = deletes
    ? undefined
    : valueOf(await readText(request.raw, Math.min(BODY_BYTES, context.bodyLimit)))
  const began = performance.now()
  const [outcome] = await context.changes.write({
    table,
    operations: [{ ...range, value, condition }],
    isAtomic: false,
  })
  context.metrics.writeSeconds.observe((performance.now() - began) / 1000)
  if (outcome?.made !== true)
    throw outcome ? refusalOf(outcome) : new Refusal(500, 'INTERNAL', 'internal error')
  const { version, wasThere } = outcome
  return reply
    .code(deletes || wasThere ? 200 : 201)
    .header('etag', etagOf(version))
    .send({ version })
}

function rangeText({ codec }: Table, { from, to }: Row): string {
  return `${String(codec.toJson(from))}-${String(codec.toJson(to))}`
}

/** Of which table, and from where on, a client wants to hear. */
function followed(
  { tables }: TableContext,
  request: FastifyRequest,
): { readonly table: string | undefined; readonly after: number | undefined } {
  const query = queryOf(request, ['table', 'after'])
  const table = query.get('table') ?? undefined
  if (table !== undefined && !tables.has(table))
    throw new Refusal(404, 'NO_SUCH_TABLE', `there is no table '${shorten(table)}'`)
  const text = request.headers['last-event-id'] ?? query.get('after') ?? undefined
  if (text === undefined || text === '') return { table, after: undefined }
  if (typeof text === 'string' && /^\d{1,16}$/.test(text)) return { table, after: Number(text) }
  throw new Refusal(400, 'BAD_QUERY', `'${shorten(String(text))}' is no sequence number`)
}
