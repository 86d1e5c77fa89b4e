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
import { History, type ChangeEvent, type ChangeFeed, type Followed, type Follower } from './history.js'
import { RequestMetrics } from './metrics.js'
import { addRoutes, offer, paths, unsupportedType } from './routes.js'
import { Table } from './table.js'
import { Token } from './token.js'
import type { Outcome, WriteRequest } from './request.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const setup = workerData as FrontSetup

/** The thread that makes the changes. */
class Main {
  readonly #waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>()
  #last = 0

  ask<T extends Topic>(type: T, asked: Questions[T]['asked']): Promise<Questions[T]['answer']> {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      send({ type, id, asked } as FromFront)
    })
  }
  hear(message: ToFront): void {
    if (message.type === 'event') {
      mirror.add(message.event)
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
}

/** The changes as this thread has heard of them: once, however many clients follow them. */
class Mirror implements ChangeFeed {
  readonly #history = new History(setup.history)
  /** Those that come before what was before them. */
  #early: ChangeEvent[] | undefined = []

  add(event: ChangeEvent): void {
    if (this.#early) this.#early.push(event)
    else this.#history.add(event)
  }
  async begin(): Promise<void> {
    const { forgotten, events } = await main.ask('follow', undefined)
    this.#history.startAt(forgotten)
    for (const event of [...events, ...(this.#early ?? [])]) this.#history.add(event)
    this.#early = undefined
  }
  async follow(after: number | undefined, tell: Follower): Promise<Followed> {
    // A client may come from another thread, which has heard of more. The answer comes behind
    // all changes up to it.
    if (after !== undefined && after > this.#history.last) await main.ask('sequence', undefined)
    return this.#history.follow(after, tell)
  }
}

function send(message: FromFront): void {
  port.postMessage(message)
}

const machine = join(setup.handle)
const main = new Main()
const mirror = new Mirror()
const { host, bodyLimit, timeoutMilliseconds, logLevel, isShared } = setup
const token = new Token(setup.token, false)
const streams = new ChangeStreams(mirror)
const metrics = new RequestMetrics(() => streams.clients)
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
  await mirror.begin()
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
