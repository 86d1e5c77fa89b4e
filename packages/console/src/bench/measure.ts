/**
 * Loads a service with GET requests, over a number of connections, and measures it.
 *
 * Without a rate each connection asks again as soon as it is answered. With one, requests are due
 * at equal distances, whether the service keeps up or not. The next free connection takes the next
 * one that is due:
 *
 *     due      |     |     |     |     |     |
 *     sent     |     |--- slow answer ---|||       those that waited count from when they were due
 *
 * So a stop of the service shows in the latencies of all requests that it would have had meanwhile
 * (no "coordinated omission").
 */
import { setMaxListeners } from 'node:events'
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { Pool } from 'undici'
import { codeOf } from '../error-code.js'
import { ServiceError } from '../errors.js'
import { until } from './clock.js'

export interface MeasureOptions {
  /** Where `{}` stands, a key comes: in its path and query. */
  readonly url: string
  readonly connections: number
  readonly milliseconds: number
  /** Requests a second; undefined: as many as are answered. */
  readonly rate: number | undefined
  /** Taken one after the other, and then again from the first. */
  readonly keys: readonly string[]
  readonly signal?: AbortSignal
  readonly onProgress?: (milliseconds: number) => void
}

export interface Measurement {
  /** ms, until the last answer. */
  readonly duration: number
  /** Requests that were answered, whatever the answer. */
  readonly answered: number
  /** By status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Of requests that were not answered, by code. */
  readonly errors: Readonly<Record<string, number>>
  /** With a rate: requests that were due, and for which no connection was free until the end. */
  readonly unsent: number
  readonly bytes: number
  /** Of answered requests, ns. */
  readonly latency: RecordableHistogram
}

/** A request that takes longer is not answered, ms. */
const TIMEOUT = 10_000
/** How long a connection rests after a request that was not answered, ms. */
const REST = 10
/** Milliseconds between two looks at the time. */
const STEP = 100
/** ns: three digits from 1 µs to an hour. */
const scale = { lowest: 1000, highest: 3_600_000_000_000, figures: 3 } as const

/**
 * Resolves when the time is over, or `signal` aborts, and all that was sent is answered. One
 * request before that is not measured.
 *
 * @throws ServiceError if that one is not answered
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const run = new Run(options)
  await run.probe()
  const timer = setInterval(() => options.onProgress?.(run.elapsed), STEP)
  try {
    return await run.finished()
  } finally {
    clearInterval(timer)
  }
}

class Run {
  readonly #options: MeasureOptions
  readonly #pool: Pool
  readonly #paths: readonly string[]
  #began = performance.now()
  readonly #statuses = new Map<string, number>()
  readonly #errors = new Map<string, number>()
  readonly #latency = createHistogram(scale)
  #next = 0
  #answered = 0
  #bytes = 0

  constructor(options: MeasureOptions) {
    const { origin } = new URL(options.url)
    const { connections, keys } = options
    this.#options = options
    // Each connection listens.
    if (options.signal) setMaxListeners(connections, options.signal)
    this.#pool = new Pool(origin, {
      connections,
      pipelining: 1,
      connect: { timeout: TIMEOUT },
      headersTimeout: TIMEOUT,
      bodyTimeout: TIMEOUT,
    })
    this.#paths = keys.length > 0 ? keys.map((key) => pathOf(options.url, key)) : [pathOf(options.url, '')]
  }

  get elapsed(): number {
    return performance.now() - this.#began
  }

  async probe(): Promise<void> {
    try {
      await this.#get(this.#paths[0] ?? '/')
    } catch (error) {
      await this.#pool.destroy()
      const { url } = this.#options
      throw new ServiceError(`cannot ask ${url}: ${nameOf(error)}`, { url }, { cause: error })
    }
  }

  async finished(): Promise<Measurement> {
    const { connections, milliseconds, rate } = this.#options
    this.#began = performance.now()
    await Promise.all(Array.from({ length: connections }, () => this.#ask()))
    const duration = this.elapsed
    await this.#pool.close()
    const due = rate === undefined ? 0 : Math.floor((Math.min(duration, milliseconds) / 1000) * rate)
    return {
      duration,
      answered: this.#answered,
      statuses: Object.fromEntries(this.#statuses),
      errors: Object.fromEntries(this.#errors),
      unsent: Math.max(0, due - this.#next),
      bytes: this.#bytes,
      latency: this.#latency,
    }
  }

  /** What one connection does. */
  async #ask(): Promise<void> {
    const { milliseconds, rate, signal } = this.#options
    const end = this.#began + milliseconds
    while (performance.now() < end && signal?.aborted !== true) {
      const number = this.#next
      const due = rate === undefined ? performance.now() : this.#began + (number / rate) * 1000
      if (due >= end) return
      this.#next++
      if (await until(due, signal)) await this.#send(this.#paths[number % this.#paths.length] ?? '/', due)
    }
  }

  async #send(path: string, due: number): Promise<void> {
    try {
      const { status, bytes } = await this.#get(path)
      this.#latency.record(Math.max(1, Math.round((performance.now() - due) * 1e6)))
      this.#answered++
      this.#bytes += bytes
      count(this.#statuses, String(status))
    } catch (error) {
      count(this.#errors, nameOf(error))
      // A service that has gone is not asked as fast as it refuses.
      await pause(REST)
    }
  }

  async #get(path: string): Promise<{ status: number; bytes: number }> {
    const { statusCode, body } = await this.#pool.request({ path, method: 'GET' })
    return { status: statusCode, bytes: (await body.arrayBuffer()).byteLength }
  }
}

function nameOf(error: unknown): string {
  return codeOf(error) ?? String(error)
}
function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** The path and the query for a key, which may hold anything. */
function pathOf(url: string, key: string): string {
  const { pathname, search } = new URL(url.replaceAll('{}', encodeURIComponent(key)))
  return `${pathname}${search}`
}
