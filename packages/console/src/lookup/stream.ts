/**
 * Answers a stream of addresses: reads, has batches answered by all workers at once, writes the
 * answers in the order of the input. Memory is bounded by the window: when the answers are not
 * taken, the input is not read.
 *
 *     input ──feed──▶ splitter ──batch──▶ pool ──▶ pending[window], in order ──drain──▶ sink
 *
 * While answers are outstanding, lines are collected into large batches; when there are none,
 * whatever whole lines have come are answered at once. So a client that sends one address and waits
 * gets its answer, and a long upload gets large batches.
 */
import { AbortedError, InputTooLargeError, MalformedInputError } from '../errors.js'
import { withoutMark } from './byte-order-mark.js'
import { JsonArrayFlattener } from './json-array.js'
import type { BatchFormat, BatchResult } from './protocol.js'
import { LineSplitter } from './split.js'

/** How the addresses of a stream are written. */
export type InputFormat = BatchFormat | 'json'

export interface StreamOptions {
  readonly format: InputFormat
  /** Largest batch. */
  readonly batchBytes: number
  /** Most batches under way at once. */
  readonly window: number
  /** Most bytes of input. */
  readonly limit?: number
  readonly signal?: AbortSignal
}

export interface StreamResult {
  readonly bytesRead: number
  readonly bytesWritten: number
  /** Addresses answered, bad ones included. */
  readonly answered: number
}

/** Who answers: a pool of workers, or this thread. */
export interface BatchRunner {
  /** Has the lines of `bytes` answered. Do not change `bytes` before that. */
  run(bytes: Uint8Array<ArrayBuffer>, format: BatchFormat, signal?: AbortSignal): Promise<BatchResult>
  /** Takes a result's buffer back, once its bytes have been written. */
  recycle(buffer: ArrayBuffer): void
}

/** Where answers go. */
export interface Sink {
  /** Takes all of `bytes`; they may be overwritten once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>
}

/** Waits for the other side of the stream to do something. */
class Signal {
  #resolve: (() => void) | undefined

  notify(): void {
    this.#resolve?.()
    this.#resolve = undefined
  }
  wait(): Promise<void> {
    return new Promise((resolve) => (this.#resolve = resolve))
  }
}

type Outcome = { readonly result: BatchResult } | { readonly error: Error }

/**
 * Answers all of `input`. After an error the rest of the input is still read, and thrown away, so
 * that a peer that only sends can come to its end; destroy the input to stop that.
 *
 * @throws MalformedInputError, InputTooLargeError, AbortedError, WorkerLostError, and what input
 *   and sink throw.
 */
export function answerStream(
  pool: BatchRunner,
  input: AsyncIterable<Uint8Array>,
  sink: Sink,
  options: StreamOptions,
): Promise<StreamResult> {
  return new StreamRun(pool, sink, options).run(input)
}

class StreamRun {
  readonly #pool: BatchRunner
  readonly #sink: Sink
  readonly #options: StreamOptions
  readonly #splitter: LineSplitter
  readonly #flattener: JsonArrayFlattener | undefined
  readonly #batchFormat: BatchFormat
  readonly #pending: Promise<Outcome>[] = []
  /** Told when the feeder has added a batch or has ended. */
  readonly #added = new Signal()
  /** Told when a batch has been written, or nothing more will be. */
  readonly #removed = new Signal()
  #fed = false
  #failure: Error | undefined
  #lines = 0
  #bytesRead = 0
  #bytesWritten = 0
  #answered = 0

  constructor(pool: BatchRunner, sink: Sink, options: StreamOptions) {
    this.#pool = pool
    this.#sink = sink
    this.#options = options
    this.#splitter = new LineSplitter(options.batchBytes)
    this.#flattener = options.format === 'json' ? new JsonArrayFlattener() : undefined
    this.#batchFormat = options.format === 'text' ? 'text' : 'ndjson'
  }

  async run(input: AsyncIterable<Uint8Array>): Promise<StreamResult> {
    const { signal } = this.#options
    const onAbort = () => this.#fail(new AbortedError('given up: the other side went away'))
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort)
    try {
      void this.#feed(input)
      await this.#drain()
    } catch (error) {
      this.#fail(toError(error))
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
    if (this.#failure) throw this.#failure
    return { bytesRead: this.#bytesRead, bytesWritten: this.#bytesWritten, answered: this.#answered }
  }

  /** A call, where it may have become true during an await. */
  #hasFailed(): boolean {
    return this.#failure !== undefined
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#added.notify()
    this.#removed.notify()
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Feeding

  async #feed(input: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of withoutMark(input)) await this.#takePiece(piece)
      if (!this.#failure) await this.#finishInput()
    } catch (error) {
      this.#fail(toError(error))
    }
    this.#fed = true
    this.#added.notify()
  }

  /** Never throws what is wrong with the input, so that the rest of it is still read. */
  async #takePiece(piece: Uint8Array): Promise<void> {
    if (this.#failure) return
    try {
      this.#bytesRead += piece.length
      const { limit = Infinity } = this.#options
      if (this.#bytesRead > limit)
        throw new InputTooLargeError(`the input is longer than the limit of ${limit} bytes`, { limit })
      const lines = this.#flattener ? this.#flattener.push(piece) : piece
      for (let at = 0; at < lines.length && !this.#hasFailed();) {
        at = this.#splitter.push(lines, at)
        if (this.#splitter.isFull) await this.#submitWhenRoom()
      }
      // Not at once: if the input ends here, what is left of it belongs into the same batch.
      setImmediate(() => this.#submitIfIdle())
    } catch (error) {
      this.#fail(toError(error))
    }
  }

  async #finishInput(): Promise<void> {
    this.#flattener?.finish()
    await this.#room()
    this.#submit(this.#splitter.finish())
  }

  async #submitWhenRoom(): Promise<void> {
    await this.#room()
    this.#submit(this.#splitter.take())
  }

  async #room(): Promise<void> {
    while (this.#pending.length >= this.#options.window && !this.#failure) await this.#removed.wait()
  }

  #submitIfIdle(): void {
    if (this.#pending.length === 0 && this.#splitter.hasLines) this.#submit(this.#splitter.take())
  }

  #submit(batch: Uint8Array<ArrayBuffer> | undefined): void {
    if (!batch || this.#failure) return
    this.#pending.push(
      this.#pool.run(batch, this.#batchFormat, this.#options.signal).then(
        (result) => ({ result }),
        (error: unknown) => ({ error: toError(error) }),
      ),
    )
    this.#added.notify()
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Draining

  async #drain(): Promise<void> {
    while (!this.#failure) {
      const next = this.#pending[0]
      if (!next) {
        if (this.#fed) return
        await this.#added.wait()
        continue
      }
      const outcome = await next
      if ('error' in outcome) throw outcome.error
      if (this.#hasFailed()) return
      await this.#deliver(outcome.result)
      void this.#pending.shift()
      this.#removed.notify()
      this.#submitIfIdle()
    }
  }

  async #deliver(result: BatchResult): Promise<void> {
    if (result.fault) {
      const line = this.#lines + result.fault.line
      const what = this.#flattener ? `string ${line} of the array` : `line ${line}`
      throw new MalformedInputError(`${what} is ${result.fault.message}`, { item: line })
    }
    this.#lines += result.lines
    this.#answered += result.answered
    this.#bytesWritten += result.length
    if (result.length > 0) await this.#sink.write(new Uint8Array(result.buffer, 0, result.length))
    this.#pool.recycle(result.buffer)
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error })
}
