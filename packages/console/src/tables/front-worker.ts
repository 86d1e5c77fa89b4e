/**
 * A thread that accepts connections itself: it reads tables in shared memory, and has changes made
 * by the thread that makes them.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { MainThread, runFront } from '../serve/front-thread.js'
import { addWebRoutes } from '../web/routes.js'
import { machineSource } from '../web/source.js'
import type { TableSpec } from './change.js'
import { ChangeStreams } from './events.js'
import type { TableFrontSetup, TableQuestions, Told } from './front-protocol.js'
import { History, type ChangeFeed, type Followed, type Follower } from './history.js'
import { RequestMetrics } from './metrics.js'
import { PlaceWords, RemotePlace } from './place.js'
import { createTableServer } from './routes.js'
import { Table } from './table.js'
import { Token } from './token.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const setup = workerData as TableFrontSetup

/** The changes as this thread has heard of them: once, however many clients follow them. */
class Mirror implements ChangeFeed {
  readonly #history = new History(setup.history)
  /** Those that come before what was before them. */
  #early: Told[] | undefined = []

  hear(told: Told): void {
    if (this.#early) this.#early.push(told)
    else if ('event' in told) this.#history.add(told.event)
    else this.#history.startAt(told.restart)
  }
  async begin(): Promise<void> {
    const { forgotten, events } = await main.ask('follow', undefined)
    this.#history.startAt(forgotten)
    for (const event of events) this.#history.add(event)
    const early = this.#early ?? []
    this.#early = undefined
    for (const told of early) this.hear(told)
  }
  async follow(after: number | undefined, follower: Follower): Promise<Followed> {
    // A client may come from another thread, which has heard of more. The answer comes behind
    // all changes up to it.
    if (after !== undefined && after > this.#history.last) await main.ask('sequence', undefined)
    return this.#history.follow(after, follower)
  }
}

const main = new MainThread<TableQuestions>(parentPort)
const machine = join(setup.handle)
const mirror = new Mirror()
const { bodyLimit, timeoutMilliseconds, logLevel } = setup
const open = (spec: TableSpec) => new Table(machine, spec)
const tables = new Map(setup.list.specs.map((spec) => [spec.name, open(spec)]))
const place =
  setup.place &&
  new RemotePlace({
    ...{ tables, open, lists: setup.list.lists, words: new PlaceWords(setup.place) },
    ask: {
      list: () => main.ask('list', undefined),
      reach: (sequence) => main.ask('reach', sequence),
    },
  })
const token = new Token(setup.token, false)
const streams = new ChangeStreams(mirror)
const metrics = new RequestMetrics(() => streams.clients)
const app = createTableServer(
  {
    ...{ streams, metrics, bodyLimit },
    changes: {
      write: ({ table, operations, isAtomic }) =>
        main.ask('write', { table: table.name, operations, isAtomic }),
    },
    tables,
    place,
    mayWrite: (authorization) => token.isIn(authorization),
    sequence: () => main.ask('sequence', undefined),
    health: () => main.ask('health', undefined),
    exposition: () => main.ask('metrics', undefined),
  },
  { logger: main.logger(logLevel), timeoutMilliseconds },
)
addWebRoutes(app, {
  source: machineSource(machine),
  lookups: () => main.ask('lookups', undefined),
})

await runFront({
  ...{ port: parentPort, main, machine, setup, app },
  collected: () => metrics.collected(),
  begin: () => mirror.begin(),
  told: (told: Told) => mirror.hear(told),
  end: () => streams.close(),
})
