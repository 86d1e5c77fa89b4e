/** What every thread that accepts connections does, whatever it answers. */
import type { MessagePort } from 'node:worker_threads'
import type { FastifyInstance } from 'fastify'
import type { Machine } from 'percpu'
import { pino, type Logger } from 'pino'
import { codeOf } from '../error-code.js'
import type { CollectedMetrics } from './counters.js'
import {
  movedWith,
  type FromFront,
  type FrontSetup,
  type Questions,
  type ToFront,
  type Topic,
} from './front-protocol.js'
import { closeServer } from './listening.js'
import { Refusal } from './refusal.js'

/** The thread that has started this one, and answers what this one cannot. */
export class MainThread<Q extends Questions> {
  readonly #port: MessagePort
  readonly #waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>()
  #last = 0

  constructor(port: MessagePort) {
    this.#port = port
  }

  /** A logger whose lines the other thread writes. */
  logger(level: string): Logger {
    return pino({ level }, { write: (line) => this.send({ type: 'log', line }) })
  }

  /** @throws Refusal */
  ask<T extends Topic<Q>>(topic: T, asked: Q[T]['asked']): Promise<Q[T]['answer']> {
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.send({ type: 'question', id, topic, asked }, movedWith(asked))
    })
  }
  send(message: FromFront, moved: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, moved)
  }

  /** Takes an answer or a refusal. */
  settle(message: Extract<ToFront, { readonly type: 'answer' | 'refusal' }>): void {
    const waiting = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (message.type === 'answer') waiting?.resolve(message.answer as never)
    else waiting?.reject(new Refusal(message.status, message.code, message.message))
  }
}

export interface FrontThread<Q extends Questions> {
  readonly port: MessagePort
  readonly main: MainThread<Q>
  readonly machine: Machine
  readonly setup: FrontSetup
  readonly app: FastifyInstance
  /** What this thread has counted. */
  readonly collected: () => Promise<CollectedMetrics>
  /** Called before it listens. */
  readonly begin?: () => Promise<void>
  /** Called with what the other thread tells. */
  readonly told?: (what: never) => void
  /** Called when it is to stop: ends what would not end by itself. */
  readonly end?: () => void
}

/** Listens until the thread is told to stop. The thread ends then, or if it cannot listen. */
export async function runFront<Q extends Questions>(thread: FrontThread<Q>): Promise<void> {
  const { port, main, machine, setup, app, collected, begin, told, end } = thread
  const stop = async () => {
    end?.()
    await closeServer(app)
    await machine.offline()
    port.close()
  }
  main.send({ type: 'joined', cpu: machine.cpu })
  port.on('message', (message: ToFront) => {
    if (message.type === 'stop') void stop()
    else if (message.type === 'told') told?.(message.what as never)
    else if (message.type === 'collect')
      void collected().then((metrics) => main.send({ type: 'collected', id: message.id, metrics }))
    else main.settle(message)
  })
  try {
    await begin?.()
    // Node's own type does not know `reusePort` yet.
    const { host, isShared } = setup
    const place = { host, port: setup.port, ...(isShared ? { reusePort: true } : {}) }
    await app.listen(place)
    const address = app.server.address()
    main.send({
      type: 'listening',
      port: typeof address === 'object' && address !== null ? address.port : 0,
    })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    main.send({ type: 'failed', message, code: codeOf(error) })
    await machine.offline()
    port.close()
  }
}
