/** `percpu top --web`: the page that `percpu serve` has at `/`, for a machine of any process. */
import { once } from 'node:events'
import { fastify } from 'fastify'
import { inspections } from '../inspect/client.js'
import { addWebRoutes } from '../web/routes.js'
import { socketSource } from '../web/source.js'

export interface TopWebOptions {
  /** The socket that the machine's process serves. */
  readonly socket: string
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly output: NodeJS.WritableStream
  readonly signal: AbortSignal
}

/** Milliseconds of silence after which a connection is ended. */
const SILENCE = 60_000

/**
 * Serves the page, writes its URL, and ends when `signal` aborts. It outlives the machine's
 * process, and shows the next one that serves there.
 *
 * @throws FileError if nobody serves there at the beginning, or what listening throws.
 */
export async function topWeb({ socket, host, port, output, signal }: TopWebOptions): Promise<void> {
  for await (const report of inspections(socket)) output.write(`${report.title}, process ${report.pid}: `)
  const app = fastify({ connectionTimeout: SILENCE, forceCloseConnections: true })
  addWebRoutes(app, { source: socketSource(socket) })
  output.write(`${await app.listen({ host, port })}\n`)
  if (!signal.aborted) await once(signal, 'abort')
  await app.close()
}
