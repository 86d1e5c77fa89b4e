/**
 * A thread that accepts connections itself: it reads tables in shared memory, and has changes made
 * by the thread that makes them.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { pino } from 'pino'
import { codeOf } from '../error-code.js'
import { closeServer } from '../serve/listening.js'
import { Refusal } from '../serve/refusal.js'
import { createServer } from '../serve/server.js'
import { addWebRoutes, webPaths } from '../web/routes.js'
import { machineSource } from '../web/source.js'
import { ChangeStreams } from './events.js'
import type { FromFront, FrontSetup, Questions, ToFront, Topic } from './front-protocol.js'
import type { Followed, Follower } from './history.js'
import { RequestMetrics } from './metrics.js'
import { addRoutes, offer, paths, unsupportedType } from './routes.js'
import { Table } from './table.js'
import { Token } from './token.js'
import type { Outcome, WriteRequest } from './writer.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const setup = workerData as FrontSetup

/** The thread that makes the changes. */
class Main {
  readonly #waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>()
  readonly #followers = new Map<number, Follower>()
  #last = 0

  ask<T extends Topic>(
    type: T,
    asked: Questions[T]['asked'],
    id = ++this.#last,
  ): Promise<Questions[T]['answer']> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      send({ type, id, asked } as FromFront)
    })
  }
  hear(message: ToFront): void {
    if (message.type === 'event') {
      this.#followers.get(message.id)?.(message.event)
      return
    }
    if (message.type !== 'answer' && message.type !== 'refusal') return
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.type === 'answer') waiting?.resolve(message.answer as never)
    else waiting?.reject(new Refusal(message.status, message.code, message.message))
  }

  write({ table, operations, isAtomic }: WriteRequest): Promise<readonly Outcome[]> {
    return this.ask('write', { table: table.name, operations, isAtomic })
  }
  async follow(after: number | undefined, tell: Follower): Promise<Followed> {
    const id = ++this.#last
    this.#followers.set(id, tell)
    const stop = () => {
      this.#followers.delete(id)
      send({ type: 'unfollow', id })
    }
    try {
      return { ...(await this.ask('follow', { after }, id)), stop }
    } catch (error) {
      stop()
      throw error
    }
  }
}

function send(message: FromFront): void {
  port.postMessage(message)
}

const machine = join(setup.handle)
const main = new Main()
const { host, bodyLimit, timeoutMilliseconds, logLevel, isShared } = setup
const token = new Token(setup.token, false)
const streams = new ChangeStreams(main)
const metrics = new RequestMetrics()
const logger = pino({ level: logLevel }, pino.destination({ fd: 1, sync: false }))
const app = createServer({
  ...{ logger, bodyLimit, timeoutMilliseconds, offer, unsupportedType },
  paths: [...webPaths, ...paths],
  addRoutes: (server) =>
    addRoutes(server, {
      ...{ changes: main, streams, metrics, bodyLimit },
      tables: new Map(setup.specs.map((spec) => [spec.name, new Table(machine, spec)])),
      mayWrite: (authorization) => token.isIn(authorization),
      sequence: () => main.ask('sequence', undefined),
      health: () => main.ask('health', undefined),
      exposition: () => main.ask('metrics', undefined),
    }),
})
addWebRoutes(app, {
  source: machineSource(machine),
  lookups: () => main.ask('lookups', undefined),
})

port.on('message', (message: ToFront) => {
  if (message.type === 'stop') void stop()
  else if (message.type === 'collect')
    void metrics
      .collected()
      .then((collected) => send({ type: 'collected', id: message.id, metrics: collected }))
  else main.hear(message)
})

async function stop(): Promise<void> {
  streams.close()
  await closeServer(app)
  await machine.offline()
  port.close()
}

try {
  // Node's own type does not know `reusePort` yet.
  const place = { host, port: setup.port, ...(isShared ? { reusePort: true } : {}) }
  await app.listen(place)
  const address = app.server.address()
  send({
    type: 'listening',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cpu: machine.cpu,
  })
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  send({ type: 'failed', message, code: codeOf(error) })
  await machine.offline()
  port.close()
}
