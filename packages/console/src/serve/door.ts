/** Where requests for addresses come in: this thread, or several that share a port. */
import type { FastifyInstance } from 'fastify'
import type { Machine } from 'percpu'
import type { Logger } from 'pino'
import type { AddressRules } from '../address/rules.js'
import { AbortedError, WorkerLostError } from '../errors.js'
import type { LookupPool } from '../lookup/pool.js'
import type { FirstTable } from '../table/first-table.js'
import type { LookupCount } from '../web/frame.js'
import { addWebRoutes } from '../web/routes.js'
import { machineSource } from '../web/source.js'
import { metricsText } from './counters.js'
import type { LookupFrontSetup, LookupQuestions } from './front-questions.js'
import type { OwnSetup } from './front-protocol.js'
import { Fronts, type Answers } from './fronts.js'
import type { Health } from './health.js'
import { closeServer, urlOf, urlOfPort } from './listening.js'
import type { Metrics } from './metrics.js'
import { singleLookupsIn } from './request-metrics.js'
import { createLookupServer, type RouteContext } from './routes.js'
import type { ThreadWatch } from './thread-watch.js'

export interface DoorOptions {
  readonly machine: Machine
  readonly host: string
  readonly port: number
  /** Threads that accept connections; 0: this one does. */
  readonly fronts: number
  readonly pool: LookupPool
  readonly table: FirstTable
  /** The table's columns of data. */
  readonly fields: readonly string[]
  readonly rules: AddressRules
  readonly attribution: readonly string[]
  readonly metrics: Metrics
  readonly watch: ThreadWatch
  readonly health: () => Health
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  readonly logger: Logger
  /** Nobody answers requests any more. */
  readonly onFailed: (error: Error) => void
}

export interface Door {
  readonly url: string
  /** The server of this thread, if this thread accepts connections. */
  readonly app: FastifyInstance | undefined
  /** The threads that accept connections, if this one does not. */
  readonly fronts: Fronts<LookupQuestions> | undefined
  /** Stops accepting, and lets requests in flight finish for a while. */
  close(): Promise<void>
}

/** Listens. @throws what listening throws; WorkerLostError. Nothing is left running. */
export function openDoor(options: DoorOptions): Promise<Door> {
  return options.fronts > 0 ? openFronts(options) : openHere(options)
}

async function openHere(options: DoorOptions): Promise<Door> {
  const { machine, host, port, pool, table, rules, attribution, metrics, health } = options
  const { bodyLimit, timeoutMilliseconds, logger } = options
  const context: RouteContext = {
    ...{ table, rules, metrics, bodyLimit, health },
    runner: pool,
    window: windowOf(pool),
    exposition: () => metrics.registry.metrics(),
  }
  const app = createLookupServer(context, { logger, timeoutMilliseconds })
  const lookups = async () => {
    const count = singleLookupsIn(await metrics.collected())
    return [{ name: 'requests', cpu: machine.cpu, count }, ...workerCounts(pool)]
  }
  addWebRoutes(app, { source: machineSource(machine), lookups, attribution })
  await app.listen({ host, port })
  return { url: urlOf(app), app, fronts: undefined, close: () => closeServer(app) }
}

async function openFronts(options: DoorOptions): Promise<Door> {
  const { machine, host, port, pool, table, fields, rules, attribution, watch, logger, onFailed } = options
  const { bodyLimit, timeoutMilliseconds } = options
  const setup = (): OwnSetup<LookupFrontSetup> => ({
    ...{ host, bodyLimit, timeoutMilliseconds, fields, rules, attribution },
    rows: table.rows,
    window: windowOf(pool),
  })
  const fronts = new Fronts<LookupQuestions>({
    ...{ machine, port, setup, logger, onFailed },
    module: new URL('./front-worker.js', import.meta.url),
    count: options.fronts,
    answers: answersOf(options),
  })
  watch.add(fronts)
  await fronts.start()
  return { url: urlOfPort(host, fronts.port), app: undefined, fronts, close: () => fronts.close() }
}

/** Batches of a request under way at once: each worker has one in work, and one ready. */
function windowOf(pool: LookupPool): number {
  return pool.workers.length * 2
}

/** What threads that accept connections have done here. */
function answersOf({ pool, health, metrics }: DoorOptions): Answers<LookupQuestions> {
  return {
    async batch({ buffer, format, spare }) {
      if (spare) pool.recycle(spare)
      try {
        return await pool.run(new Uint8Array(buffer), format)
      } catch (error) {
        if (error instanceof WorkerLostError) return { failure: 'lost', message: error.message }
        if (error instanceof AbortedError) return { failure: 'aborted', message: error.message }
        throw error
      }
    },
    health: () => health(),
    async metrics(_asked, _front, fronts) {
      const collected = await fronts.collected()
      return metricsText([
        await metrics.collected(),
        ...collected.flatMap(({ metrics: counted }) => (counted ? [counted] : [])),
      ])
    },
    async lookups(_asked, _front, fronts) {
      const collected = await fronts.collected()
      const fronted = collected.map(({ place, cpu, metrics: counted }) => ({
        ...{ name: `requests ${place}`, cpu },
        count: counted ? singleLookupsIn(counted) : 0,
      }))
      return [...fronted, ...workerCounts(pool)]
    },
  }
}

function workerCounts(pool: LookupPool): readonly LookupCount[] {
  return pool.workers.map(({ cpu, lookups }, place) => ({ name: `worker ${place}`, cpu, count: lookups }))
}
