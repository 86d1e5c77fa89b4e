/** A service as far as the page sees it, beside a machine of this process: lookups, and tables. */
import type { ServerResponse } from 'node:http'
import { fastify, type FastifyInstance } from 'fastify'
import type { Machine } from 'percpu'
import { addWebRoutes, machineSource } from 'percpu-console'

/** Does something if it ever becomes markup. */
export const hostile = `"><img src=x onerror="alert(1)"><script>alert(2)</script>`

export class FakeService {
  readonly rows = new Map<string, unknown>([
    ['colour', { name: 'blue', rgb: [0, 0, 255] }],
    [hostile, { [hostile]: hostile }],
  ])
  readonly #machine: Machine
  #lookups = 0
  readonly #watchers = new Set<ServerResponse>()
  #app: FastifyInstance | undefined

  constructor(machine: Machine) {
    this.#machine = machine
  }

  /** Resolves with the URL. `port`: 0 for any free one. */
  async start(port = 0): Promise<string> {
    const app = fastify({ forceCloseConnections: true })
    addWebRoutes(app, {
      source: machineSource(this.#machine),
      lookups: () => Promise.resolve([{ name: 'requests', cpu: 0, count: this.#lookups }]),
      attribution: ['somebody, https://example.org; by licence'],
    })
    app.get('/lookup/:address', (request, reply) => {
      this.#lookups++
      const { address } = request.params as { address: string }
      const range = { start: '1.1.1.0', end: '1.1.1.255' }
      if (address === '1.1.1.1') return reply.send({ address, range, organisation: 'Ü & Söhne' })
      const isAddress = /^[\d.]{7}$/.test(address)
      return reply.code(isAddress ? 404 : 400).send({ error: `'${address}' is no address`, code: 'NONE' })
    })
    const about = { kind: 'key', entries: this.rows.size, sequence: 99 }
    app.get('/tables', (_request, reply) =>
      reply.send([
        { name: 'settings', ...about },
        { name: hostile, ...about },
      ]),
    )
    app.get('/changes', (_request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      this.#watchers.add(reply.raw)
      reply.raw.once('close', () => this.#watchers.delete(reply.raw))
    })
    app.get('/tables/:name', (_request, reply) => {
      const entries = Array.from(this.rows, ([key, value]) => ({ key, version: 7, value }))
      return reply.send({ entries })
    })
    app.get('/tables/:name/:key', (request, reply) => {
      const { key } = request.params as { key: string }
      const row = this.rows.get(key)
      if (row === undefined) return reply.code(404).send({ error: 'there is no such key', code: 'NO_KEY' })
      return reply.header('etag', '"7"').send(row)
    })
    this.#app = app
    return app.listen({ port })
  }

  /** Tells those who follow changes. */
  change(event: 'set' | 'delete', data: object): void {
    for (const watcher of this.#watchers)
      watcher.write(`id: 1\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** When there is somebody who follows changes. */
  async followed(): Promise<void> {
    while (this.#watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  async stop(): Promise<void> {
    await this.#app?.close()
    this.#app = undefined
  }
}
