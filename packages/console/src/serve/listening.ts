/** Where a service listens, and how it stops. */
import net from 'node:net'
import type { FastifyInstance } from 'fastify'
import { STOP_MILLISECONDS } from './settings.js'

const SWEEP_MILLISECONDS = 50

/** Listens for a moment. @throws what listening throws, such as EADDRINUSE. */
export async function assertCanListen(host: string, port: number): Promise<void> {
  const probe = net.createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject).listen({ host, port }, resolve)
  })
  await new Promise((resolve) => probe.close(resolve))
}

/** Where it listens, as a URL. */
export function urlOf({ server }: FastifyInstance): string {
  const address = server.address()
  if (address === null || typeof address === 'string') return String(address)
  return urlOfPort(address.address, address.port)
}
export function urlOfPort(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Stops accepting, and lets requests in flight finish for a while. */
export async function closeServer(app: FastifyInstance): Promise<void> {
  const deadline = setTimeout(() => app.server.closeAllConnections(), STOP_MILLISECONDS)
  // A connection that has been answered is kept for another request, which will not be taken any
  // more.
  const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_MILLISECONDS)
  await app.close()
  clearInterval(sweep)
  clearTimeout(deadline)
}
