/** One thread that accepts connections, as the thread sees it that started it. */
import { Worker } from 'node:worker_threads'
import type { Machine } from 'percpu'
import { levels, type Logger } from 'pino'
import { WorkerLostError } from '../errors.js'
import type { CollectedMetrics } from './counters.js'
import { movedWith, type FromFront, type FrontSetup, type ToFront } from './front-protocol.js'
import { Refusal } from './refusal.js'
import { STOP_MILLISECONDS } from './settings.js'

/** How much later than its requests a thread may end that was told to. */
const END_MILLISECONDS = 1000

export class Front {
  /** Resolves with the port. @throws what listening throws, or WorkerLostError */
  readonly listening: Promise<number>
  /** Resolves when its CPU has been cleaned up after, with what the thread threw. */
  readonly ended: Promise<Error | undefined>
  isListening = false
  wasListening = false
  readonly thread: Worker
  /** Answers its questions. */
  answer: (topic: string, asked: unknown) => unknown = () => undefined
  /** Called once, when the thread has ended. */
  onGone: () => void = () => undefined
  readonly #logger: Logger
  #cpu: number | undefined
  #isStuck = false
  #isGone = false
  readonly #collecting = new Map<number, (metrics: CollectedMetrics | undefined) => void>()
  #last = 0

  constructor(machine: Machine, logger: Logger, module: URL, setup: FrontSetup) {
    this.#logger = logger
    const worker = new Worker(module, { workerData: setup })
    this.thread = worker
    const { reaped } = machine.supervise(worker)
    let thrown: Error | undefined
    worker.on('error', (error) => (thrown = error))
    this.listening = new Promise((resolve, reject) => {
      worker.on('message', (message: FromFront) => {
        if (message.type === 'listening') {
          this.isListening = this.wasListening = true
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

  /** Undefined before it has joined the machine, and when it has ended. */
  get cpu(): number | undefined {
    return this.#isGone ? undefined : this.#cpu
  }
  /** The CPU that it is, or was. */
  get lastCpu(): number | undefined {
    return this.#cpu
  }
  /** Whether it has given no sign of life for a while. */
  get isStuck(): boolean {
    return this.#isStuck
  }

  /** While it is stuck it is asked nothing. */
  setStuck(isStuck: boolean): void {
    this.#isStuck = isStuck
    if (isStuck) this.#stopCollecting()
  }

  /** Has it end. If it does not, it is ended. */
  async close(): Promise<void> {
    this.#send({ type: 'stop' })
    const deadline = setTimeout(() => void this.thread.terminate(), STOP_MILLISECONDS + END_MILLISECONDS)
    await this.ended
    clearTimeout(deadline)
  }

  /** What it has counted; nothing if it ends, or is stuck. */
  collect(): Promise<CollectedMetrics | undefined> {
    if (!this.isListening || this.#isStuck) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const id = ++this.#last
      this.#collecting.set(id, resolve)
      this.#send({ type: 'collect', id })
    })
  }

  /** Tells it what it has asked to be told of. */
  tell(what: unknown): void {
    this.#send({ type: 'told', what })
  }

  #gone(): void {
    this.isListening = false
    this.#isGone = true
    this.#stopCollecting()
    this.onGone()
  }
  #stopCollecting(): void {
    for (const resolve of this.#collecting.values()) resolve(undefined)
    this.#collecting.clear()
  }

  #send(message: ToFront, moved: ArrayBuffer[] = []): void {
    this.thread.postMessage(message, moved)
  }

  #hear(message: Exclude<FromFront, { readonly type: 'listening' | 'failed' }>): void {
    if (message.type === 'joined') this.#cpu = message.cpu
    else if (message.type === 'log') this.#log(message.line)
    else if (message.type === 'collected') {
      this.#collecting.get(message.id)?.(message.metrics)
      this.#collecting.delete(message.id)
    } else void this.#answer(message)
  }

  async #answer({ id, topic, asked }: Extract<FromFront, { readonly type: 'question' }>): Promise<void> {
    try {
      const answer = await this.answer(topic, asked)
      this.#send({ type: 'answer', id, answer }, movedWith(answer))
    } catch (error) {
      if (!(error instanceof Refusal)) this.#logger.error({ err: error }, 'a request failed')
      const { status, code, message } =
        error instanceof Refusal ? error : new Refusal(500, 'INTERNAL', 'internal error')
      this.#send({ type: 'refusal', id, status, code, message })
    }
  }

  /** Writes a line of its log into that of this thread. */
  #log(line: string): void {
    const {
      level,
      msg = '',
      pid: _pid,
      hostname: _hostname,
      ...fields
    } = JSON.parse(line) as Record<string, unknown> & { readonly level: number; readonly msg?: string }
    const name = levels.labels[level]
    if (name !== undefined && name in this.#logger) this.#logger[name as 'error']({ ...fields }, msg)
  }
}
