/** Where requests come in: this thread, or several that share a port. */
import type { Machine } from 'percpu'
import type { Logger } from 'pino'
import { metricsText } from '../serve/counters.js'
import type { OwnSetup } from '../serve/front-protocol.js'
import type { Front } from '../serve/front.js'
import { canSharePort, Fronts, type Answers } from '../serve/fronts.js'
import { closeServer, urlOf, urlOfPort } from '../serve/listening.js'
import { Refusal } from '../serve/refusal.js'
import { ThreadWatch } from '../serve/thread-watch.js'
import { addWebRoutes } from '../web/routes.js'
import { machineSource } from '../web/source.js'
import { ChangeStreams } from './events.js'
import type { TableFrontSetup, TableQuestions, Told } from './front-protocol.js'
import type { Follower, History } from './history.js'
import { readsIn, type TableMetrics } from './metrics.js'
import type { Place, PlaceWords, TableList } from './place.js'
import { createTableServer, type Health, type TableContext } from './routes.js'
import type { Table } from './table.js'
import type { Token } from './token.js'
import type { Changes } from './request.js'

export interface DoorOptions {
  readonly machine: Machine
  readonly host: string
  readonly port: number
  /** Threads that accept connections, if that is possible. */
  readonly workers: number
  readonly token: Token
  readonly tables: ReadonlyMap<string, Table>
  readonly changes: Changes
  readonly feed: History
  /** Bytes of changes that threads keep. */
  readonly historyBytes: number
  readonly metrics: TableMetrics
  readonly sequence: () => number
  /** Where other nodes make changes, too. */
  readonly place?: (Place & { readonly words: PlaceWords }) | undefined
  readonly health: () => Health
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  /** How long a thread that accepts connections may give no sign of life, ms. */
  readonly patienceMilliseconds: number
  readonly logger: Logger
  /** Nobody answers requests any more. */
  readonly onFailed: (error: Error) => void
}

export interface Door {
  readonly url: string
  /** Threads that accept connections. */
  readonly workers: { readonly listening: number; readonly wanted: number }
  /** Who follows changes in this thread. */
  readonly clients: number
  /** Stops accepting, and lets requests in flight finish for a while. */
  close(): Promise<void>
}

/** Listens. @throws what listening throws; WorkerLostError. Nothing is left running. */
export function openDoor(options: DoorOptions): Promise<Door> {
  const { workers, logger } = options
  if (workers <= 1) return openHere(options)
  if (canSharePort()) return openFronts(options)
  logger.info({ node: process.version }, 'one thread accepts connections: several need Node 23.1')
  return openHere(options)
}

async function openHere(options: DoorOptions): Promise<Door> {
  const { machine, host, port, token, metrics, feed, logger, timeoutMilliseconds } = options
  const { tables, changes, bodyLimit, sequence, health, place } = options
  const streams = new ChangeStreams(feed)
  const context: TableContext = {
    ...{ tables, changes, streams, metrics, bodyLimit, sequence, health, place },
    mayWrite: (authorization) => token.isIn(authorization),
    exposition: () => metrics.registry.metrics(),
  }
  const app = createTableServer(context, { logger, timeoutMilliseconds })
  const lookups = async () => [
    { name: 'requests', cpu: machine.cpu, count: readsIn(await metrics.collected()) },
  ]
  addWebRoutes(app, { source: machineSource(machine), lookups })
  await app.listen({ host, port })
  return {
    url: urlOf(app),
    workers: { listening: 1, wanted: 1 },
    get clients() {
      return streams.clients
    },
    close() {
      streams.close()
      return closeServer(app)
    },
  }
}

async function openFronts(options: DoorOptions): Promise<Door> {
  const { machine, host, patienceMilliseconds, logger } = options
  const fronts = tableFronts(options)
  const watch = new ThreadWatch(machine, patienceMilliseconds, logger)
  watch.add(fronts)
  const close = async () => {
    watch.expectDeaths()
    await fronts.close()
    watch.stop()
  }
  await fronts.start().catch(async (error: unknown) => {
    await close()
    throw error
  })
  return {
    url: urlOfPort(host, fronts.port),
    get workers() {
      return { listening: fronts.listening, wanted: fronts.wanted }
    },
    clients: 0,
    close,
  }
}

/** Threads that accept connections. None is started. */
export function tableFronts(options: Omit<DoorOptions, 'patienceMilliseconds'>): Fronts<TableQuestions> {
  const { machine, host, port, workers, token, logger, onFailed } = options
  const { bodyLimit, timeoutMilliseconds, place } = options
  const setup = (): OwnSetup<TableFrontSetup> => ({
    ...{ host, bodyLimit, timeoutMilliseconds },
    list: listOf(options),
    place: place?.words.memory,
    token: token.text,
    history: options.historyBytes,
  })
  return new Fronts<TableQuestions>({
    ...{ machine, port, setup, logger, onFailed },
    module: new URL('./front-worker.js', import.meta.url),
    count: workers,
    answers: answersOf(options),
  })
}

function listOf({ tables, place }: Pick<DoorOptions, 'tables' | 'place'>): TableList {
  return { lists: place?.words.lists ?? 0, specs: [...tables.values()].map(({ spec }) => spec) }
}

/** What such threads have done here. */
function answersOf(
  options: Pick<DoorOptions, 'tables' | 'changes' | 'feed' | 'place' | 'sequence' | 'health' | 'metrics'>,
): Answers<TableQuestions> {
  const { tables, changes, feed, place, sequence, health, metrics } = options
  return {
    write({ table, operations, isAtomic }) {
      const found = tables.get(table)
      if (!found) throw new Refusal(404, 'NO_SUCH_TABLE', `there is no table '${table}'`)
      return changes.write({ table: found, operations, isAtomic })
    },
    async follow(_asked: undefined, front: Front) {
      const kept = feed.kept()
      const follower: Follower = {
        tell: (event) => front.tell({ event } satisfies Told),
        restart(sequence) {
          front.tell({ restart: sequence } satisfies Told)
          // Nobody follows a history that starts anew. Mutant: tables/front-left-behind.
          void feed.follow(undefined, follower)
        },
      }
      const { stop } = await feed.follow(undefined, follower)
      front.onGone = stop
      return kept
    },
    async reach(sequence) {
      await place?.reach(sequence)
    },
    list: () => listOf(options),
    health: () => health(),
    sequence: () => sequence(),
    async lookups(_asked, _front, fronts) {
      const collected = await fronts.collected()
      return collected.map(({ place, cpu, metrics: counted }) => ({
        ...{ name: `worker ${place}`, cpu },
        count: counted ? readsIn(counted) : 0,
      }))
    },
    async metrics(_asked, _front, fronts) {
      const collected = await fronts.collected()
      return metricsText([
        await metrics.collected(),
        ...collected.flatMap(({ metrics: counted }) => (counted ? [counted] : [])),
      ])
    },
  }
}
