/**
 * The threads that accept connections, where Node lets several listen on one port (`reusePort`,
 * from 23.1 on). The system hands each new connection to one of them.
 *
 *     a thread ends          its own connections break; its CPU is cleaned up after; another thread
 *                            takes its place on the port. Others do not notice.
 *     it stays stuck         it is ended (thread-watch.ts)
 *     three in a row         that end before they listen: no other one is started in this place
 *
 * A thread answers what it can by itself, and has the rest answered here: {@link Answers}.
 */
import type { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import type { Logger } from 'pino'
import { WorkerLostError } from '../errors.js'
import type { CollectedMetrics } from './counters.js'
import { Front } from './front.js'
import type { OwnSetup, Questions, Topic } from './front-protocol.js'
import type { Crew } from './thread-watch.js'

/** Threads in a row, in one place, that may end before they listen. */
const STARTS = 3

/** What is answered to the questions of a front, by their topics. */
export type Answers<Q extends Questions> = {
  readonly [T in Topic<Q>]: (
    asked: Q[T]['asked'],
    front: Front,
    fronts: Fronts<Q>,
  ) => Q[T]['answer'] | Promise<Q[T]['answer']>
}

export interface FrontsOptions<Q extends Questions> {
  readonly machine: Machine
  /** The module that such a thread runs. */
  readonly module: URL
  readonly count: number
  readonly port: number
  /** What a thread is told at its start, beside what is told here. */
  readonly setup: () => OwnSetup
  readonly answers: Answers<Q>
  readonly logger: Logger
  /** No thread listens any more, and none can be started. */
  readonly onFailed: (error: Error) => void
}

/** What the thread in a place has counted; undefined if it ends, or is stuck. */
export interface Collected {
  readonly place: number
  readonly cpu: number | undefined
  readonly metrics: CollectedMetrics | undefined
}

/** Whether several threads can listen on one port. */
export function canSharePort(
  version = process.versions.node,
  platform: NodeJS.Platform = process.platform,
): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return platform === 'linux' && (major > 23 || (major === 23 && minor >= 1))
}

export class Fronts<Q extends Questions> implements Crew {
  readonly kind = 'front'
  readonly #options: FrontsOptions<Q>
  readonly #fronts: Front[] = []
  #port: number
  #isClosing = false
  #tellLost: (place: number) => void = () => undefined

  /** None is started before {@link start}. */
  constructor(options: FrontsOptions<Q>) {
    this.#options = options
    this.#port = options.port
  }

  /** @throws what listening throws, or WorkerLostError. Nothing is left running. */
  async start(): Promise<void> {
    try {
      // The first one finds the port, if any will do.
      await this.#start(0)
      await Promise.all(Array.from({ length: this.wanted - 1 }, (_, index) => this.#start(index + 1)))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  get port(): number {
    return this.#port
  }
  /** How many threads listen, and are not stuck. */
  get listening(): number {
    return this.#fronts.filter(({ isListening, isStuck }) => isListening && !isStuck).length
  }
  get wanted(): number {
    return this.#options.count
  }
  /** Their threads, by their places. */
  get threads(): readonly Worker[] {
    return this.#fronts.map(({ thread }) => thread)
  }

  /** What each of them has counted. */
  collected(): Promise<readonly Collected[]> {
    return Promise.all(
      this.#fronts.map(async (front, place) => ({
        ...{ place, cpu: front.cpu },
        metrics: await front.collect(),
      })),
    )
  }

  /** Each lets its requests in flight finish for a while. */
  async close(): Promise<void> {
    this.#isClosing = true
    await Promise.all(this.#fronts.map((front) => front.close()))
  }

  // -----------------------------------------------------------------------------------------------
  // As the watch of threads takes them.

  suspend(cpu: number): number | undefined {
    return this.#setStuck(cpu, true)
  }
  resume(cpu: number): number | undefined {
    return this.#setStuck(cpu, false)
  }
  async replace(place: number): Promise<void> {
    await this.#fronts[place]?.thread.terminate()
  }
  onLost(tell: (place: number) => void): void {
    this.#tellLost = tell
  }

  #setStuck(cpu: number, isStuck: boolean): number | undefined {
    const place = this.#fronts.findIndex((front) => front.cpu === cpu)
    const front = this.#fronts[place]
    if (!front) return undefined
    front.setStuck(isStuck)
    return place
  }

  // -----------------------------------------------------------------------------------------------
  // Their starts and ends.

  async #start(place: number, attempt = 1): Promise<void> {
    const { machine, module, setup, answers, logger } = this.#options
    const front = new Front(machine, logger, module, {
      ...{ ...setup(), handle: machine.handle, port: this.#port },
      isShared: this.wanted > 1,
      logLevel: logger.level,
    })
    front.answer = (topic, asked) => {
      const answer = answers[topic]
      if (!answer) throw new TypeError(`no answer to ${topic}`)
      return answer(asked, front, this)
    }
    this.#fronts[place] = front
    void front.ended.then((error) => {
      this.#tellLost(place)
      if (this.#isClosing || !front.wasListening) return
      logger.error(
        { front: place, cpu: front.lastCpu, err: error },
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
      if (!this.#fronts.some(({ isListening }) => isListening))
        onFailed(new WorkerLostError('no thread answers requests any more, and none can be started'))
    })
  }
}
