/**
 * The threads that accept connections, where Node lets several listen on one port (`reusePort`,
 * from 23.1 on). The system hands each new connection to one of them.
 *
 *     a thread ends          its own connections break; its CPU is cleaned up after; another thread
 *                            takes its place on the port. Others do not notice.
 *     three in a row         that end before they listen: no other one is started in this place
 */
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import type { Logger } from 'pino'
import { WorkerLostError } from '../errors.js'
import { Refusal } from '../serve/refusal.js'
import type { FromFront, FrontSetup, Questions, ToFront, Topic } from './front-protocol.js'
import type { Followed, History } from './history.js'
import { readsIn, type CollectedMetrics } from './metrics.js'
import type { Health } from './routes.js'
import type { Table } from './table.js'
import type { Changes } from './request.js'

/** Threads in a row, in one place, that may end before they listen. */
const STARTS = 3

export interface FrontsOptions {
  readonly machine: Machine
  readonly count: number
  readonly setup: Omit<FrontSetup, 'handle' | 'port' | 'isShared'>
  readonly port: number
  readonly tables: ReadonlyMap<string, Table>
  readonly changes: Changes
  readonly feed: History
  readonly sequence: () => number
  readonly health: () => Health
  /** What GET /metrics shows, with what all of these threads have counted. */
  readonly exposition: (collected: readonly CollectedMetrics[]) => Promise<string>
  readonly logger: Logger
  /** No thread listens any more, and none can be started. */
  readonly onFailed: (error: Error) => void
}

/** Whether several threads can listen on one port. */
export function canSharePort(
  version = process.versions.node,
  platform: NodeJS.Platform = process.platform,
): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return platform === 'linux' && (major > 23 || (major === 23 && minor >= 1))
}

export class Fronts {
  readonly #options: FrontsOptions
  readonly #fronts: Front[] = []
  #port: number
  #isClosing = false

  private constructor(options: FrontsOptions) {
    this.#options = options
    this.#port = options.port
  }

  /** @throws what listening throws. Nothing is left running. */
  static async start(options: FrontsOptions): Promise<Fronts> {
    const fronts = new Fronts(options)
    try {
      // The first one finds the port, if any will do.
      for (let place = 0; place < options.count; place++) await fronts.#start(place)
    } catch (error) {
      await fronts.close()
      throw error
    }
    return fronts
  }

  get port(): number {
    return this.#port
  }
  /** How many threads listen. */
  get listening(): number {
    return this.#fronts.filter(({ isListening }) => isListening).length
  }
  get wanted(): number {
    return this.#options.count
  }
  /** Their threads, by their places. */
  get threads(): readonly Worker[] {
    return this.#fronts.map(({ thread }) => thread)
  }

  /** Each lets its requests in flight finish. */
  async close(): Promise<void> {
    this.#isClosing = true
    await Promise.all(this.#fronts.map((front) => front.close()))
  }

  async #start(place: number, attempt = 1): Promise<void> {
    const { machine, setup, count, logger } = this.#options
    const front = new Front(machine, this.#options, this.#fronts, {
      ...{ ...setup, handle: machine.handle, port: this.#port },
      isShared: count > 1,
    })
    this.#fronts[place] = front
    void front.ended.then((error) => {
      if (this.#isClosing || !front.wasListening) return
      logger.error(
        { front: place, cpu: front.cpu, err: error },
        'a thread that answers requests ended; another one takes its place',
      )
      this.#again(place)
    })
    try {
      this.#port = await front.listening
      logger.debug({ front: place, cpu: front.cpu, port: this.#port }, 'a thread listens')
    } catch (error) {
      if (this.#isClosing || attempt >= STARTS) throw error
      await this.#start(place, attempt + 1)
    }
  }
  #again(place: number): void {
    this.#start(place).catch((error: unknown) => {
      const { logger, onFailed } = this.#options
      if (this.#isClosing) return
      logger.error({ front: place, err: error }, 'no thread can be started in its place')
      if (this.listening === 0)
        onFailed(new WorkerLostError('no thread answers requests any more, and none can be started'))
    })
  }
}

/** One of them, as the thread sees it that makes the changes. */
class Front {
  /** Resolves with the port. @throws what listening throws, or WorkerLostError */
  readonly listening: Promise<number>
  /** Resolves when its CPU has been cleaned up after, with what the thread threw. */
  readonly ended: Promise<Error | undefined>
  isListening = false
  wasListening = false
  cpu: number | undefined
  readonly thread: Worker
  readonly #options: FrontsOptions
  readonly #all: readonly Front[]
  #following: Followed | undefined
  readonly #collecting = new Map<number, (metrics: CollectedMetrics | undefined) => void>()
  #last = 0

  constructor(machine: Machine, options: FrontsOptions, all: readonly Front[], setup: FrontSetup) {
    this.#options = options
    this.#all = all
    const worker = new Worker(new URL('./front-worker.js', import.meta.url), { workerData: setup })
    this.thread = worker
    const { reaped } = machine.supervise(worker)
    let thrown: Error | undefined
    worker.on('error', (error) => (thrown = error))
    this.listening = new Promise((resolve, reject) => {
      worker.on('message', (message: FromFront) => {
        if (message.type === 'listening') {
          this.isListening = this.wasListening = true
          this.cpu = message.cpu
          resolve(message.port)
        } else if (message.type === 'failed')
          reject(Object.assign(new Error(message.message), { code: message.code, port: setup.port }))
        else this.#hear(message)
      })
      worker.once('exit', () => reject(thrown ?? new WorkerLostError('a thread ended before it listened')))
    })
    this.listening.catch(() => undefined)
    worker.once('exit', () => this.#gone())
    this.ended = reaped.then(() => thrown)
  }

  async close(): Promise<void> {
    this.#send({ type: 'stop' })
    await this.ended
  }

  /** What it has counted; nothing if it ends. */
  collect(): Promise<CollectedMetrics | undefined> {
    if (!this.isListening) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const id = ++this.#last
      this.#collecting.set(id, resolve)
      this.#send({ type: 'collect', id })
    })
  }

  #gone(): void {
    this.isListening = false
    this.#following?.stop()
    for (const resolve of this.#collecting.values()) resolve(undefined)
    this.#collecting.clear()
  }

  #send(message: ToFront): void {
    this.thread.postMessage(message)
  }

  #hear(message: Exclude<FromFront, { readonly type: 'listening' | 'failed' }>): void {
    const { id } = message
    if (message.type === 'collected') {
      this.#collecting.get(id)?.(message.metrics)
      this.#collecting.delete(id)
    } else {
      this.#answer(message).then(
        (answer) => this.#send({ type: 'answer', id, answer }),
        (error: unknown) => this.#refuse(id, error),
      )
    }
  }
  #refuse(id: number, error: unknown): void {
    if (!(error instanceof Refusal)) this.#options.logger.error({ err: error }, 'a request failed')
    const { status, code, message } =
      error instanceof Refusal ? error : new Refusal(500, 'INTERNAL', 'internal error')
    this.#send({ type: 'refusal', id, status, code, message })
  }

  async #answer(message: Extract<FromFront, { readonly type: Topic }>): Promise<Questions[Topic]['answer']> {
    const { tables, changes, feed, sequence, health, exposition } = this.#options
    switch (message.type) {
      case 'write': {
        const { table, operations, isAtomic } = message.asked
        const found = tables.get(table)
        if (!found) throw new Refusal(404, 'NO_SUCH_TABLE', `there is no table '${table}'`)
        return changes.write({ table: found, operations, isAtomic })
      }
      case 'follow': {
        const kept = feed.kept()
        this.#following = await feed.follow(undefined, (event) => this.#send({ type: 'event', event }))
        return kept
      }
      case 'health':
        return health()
      case 'sequence':
        return sequence()
      case 'lookups':
        return Promise.all(
          this.#all.map(async (front, place) => {
            const collected = await front.collect()
            return { name: `worker ${place}`, cpu: front.cpu, count: collected ? readsIn(collected) : 0 }
          }),
        )
      case 'metrics': {
        const collected = await Promise.all(this.#all.map((front) => front.collect()))
        return exposition(collected.filter((one) => one !== undefined))
      }
    }
  }
}
