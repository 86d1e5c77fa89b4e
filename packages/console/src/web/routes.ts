/**
 * The page at `/`, its files, and what it asks for.
 *
 *     /            the page; its files are below /page/
 *     /live        server-sent events, one a second: viewers.ts
 *     /maps.svg    the page tables of address spaces, drawn
 *
 * What a service has beside them, such as /lookup and /tables, the page finds out from /live.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { drawMaps } from '../maps/picture.js'
import type { KnownPath } from '../serve/server.js'
import type { LookupCount } from './frame.js'
import { readPageFiles, safeHeaders, sendPageFile } from './page-files.js'
import type { LiveSource } from './source.js'
import { MAX_VIEWERS, Viewers } from './viewers.js'

export interface WebOptions {
  readonly source: LiveSource
  /** What each thread has looked up. Default: nothing is looked up. */
  readonly lookups?: (() => Promise<readonly LookupCount[]>) | undefined
  /** Whom the data is owed to: the page says so. */
  readonly attribution?: readonly string[] | undefined
}

/** The paths of these routes. */
export const webPaths: readonly KnownPath[] = [
  { path: /^\/(maps\.svg|page\/[^/]+)?$/, methods: 'GET, HEAD' },
  { path: /^\/live$/, methods: 'GET' },
]

export function addWebRoutes(app: FastifyInstance, options: WebOptions): void {
  const { source, lookups, attribution = [] } = options
  for (const file of readPageFiles())
    app.get(file.path, (request, reply) => sendPageFile(file, request, reply))
  const has = (url: string): boolean => app.hasRoute({ method: 'GET', url })
  const viewers = new Viewers({
    source,
    lookups,
    hello: () => ({ lookup: has('/lookup/:address'), tables: has('/tables'), attribution }),
  })
  app.get('/live', { exposeHeadRoute: false }, (request, reply) => live(viewers, request, reply))
  app.get('/maps.svg', async (_request, reply) => {
    const picture = drawMaps(await source.spaces())
    return reply
      .headers({ ...safeHeaders, 'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'" })
      .type('image/svg+xml')
      .send(picture)
  })
  app.addHook('preClose', (done) => {
    viewers.close()
    done()
  })
}

function live(viewers: Viewers, _request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (viewers.isFull)
    return reply
      .code(503)
      .send({ error: `${MAX_VIEWERS} viewers look at this already: try again later`, code: 'BUSY' })
  reply.hijack()
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    connection: 'close',
    'x-content-type-options': 'nosniff',
    // nginx would hold events back.
    'x-accel-buffering': 'no',
  })
  viewers.add(reply.raw)
  return reply
}
