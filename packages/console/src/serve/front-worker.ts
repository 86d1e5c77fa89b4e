/**
 * A thread that accepts connections itself: it looks single addresses up in the table in shared
 * memory, and has the pool's workers answer batches.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'percpu'
import { AbortedError, WorkerLostError } from '../errors.js'
import type { BatchFormat, BatchResult } from '../lookup/protocol.js'
import type { BatchRunner } from '../lookup/stream.js'
import { AddressTable } from '../table/address-table.js'
import { FirstTable } from '../table/first-table.js'
import { addWebRoutes } from '../web/routes.js'
import { machineSource } from '../web/source.js'
import type { LookupFrontSetup, LookupQuestions } from './front-questions.js'
import { MainThread, runFront } from './front-thread.js'
import { RequestMetrics } from './request-metrics.js'
import { createLookupServer } from './routes.js'
import { TABLE_NAME } from './settings.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const setup = workerData as LookupFrontSetup

/** Buffers kept for reuse. */
const SPARES = 4

/** The pool of workers, by way of the main thread. */
class RemotePool implements BatchRunner {
  readonly #spares: ArrayBuffer[] = []

  async run(bytes: Uint8Array<ArrayBuffer>, format: BatchFormat, signal?: AbortSignal): Promise<BatchResult> {
    if (signal?.aborted === true) throw new AbortedError('given up before a worker took it')
    const { buffer } = bytes.slice()
    const answer = await main.ask('batch', { buffer, format, spare: this.#spares.pop() })
    if (!('failure' in answer)) return answer
    throw new (answer.failure === 'lost' ? WorkerLostError : AbortedError)(answer.message)
  }
  recycle(buffer: ArrayBuffer): void {
    if (this.#spares.length < SPARES) this.#spares.push(buffer)
  }
}

const main = new MainThread<LookupQuestions>(parentPort)
const machine = join(setup.handle)
const { bodyLimit, timeoutMilliseconds, logLevel, fields, rules, rows, attribution, window } = setup
const metrics = new RequestMetrics()
const app = createLookupServer(
  {
    ...{ bodyLimit, rules, window, metrics },
    table: new FirstTable(new AddressTable(machine, TABLE_NAME, fields), fields, rows),
    runner: new RemotePool(),
    health: () => main.ask('health', undefined),
    exposition: () => main.ask('metrics', undefined),
  },
  { logger: main.logger(logLevel), timeoutMilliseconds },
)
addWebRoutes(app, {
  source: machineSource(machine),
  lookups: () => main.ask('lookups', undefined),
  attribution,
})

await runFront({
  ...{ port: parentPort, main, machine, setup, app },
  collected: () => metrics.collected(),
})
