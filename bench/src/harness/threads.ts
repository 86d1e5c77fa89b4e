/** Rows whose work is done by several threads at once. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Loop } from './per-operation.js'
import type { Effort, Measure } from './suite.js'

/**
 * A module's export that a thread calls to make its loop: `(data, number of the thread) => loop`.
 */
export type MakeLoop<Data> = (data: Data, thread: number) => Loop | Promise<Loop>

/** @internal What a thread of {@link Threads} is started with. */
export interface ThreadData {
  readonly module: string
  readonly exportName: string
  readonly data: unknown
  readonly thread: number
  /** One 32-bit word: how often a thread arrived at the start of a round. */
  readonly gate: SharedArrayBuffer
}

/** @internal Tells the threads to run their loops once. */
export interface Round {
  readonly effort: Effort
  readonly threads: number
}

/**
 * Threads that run a loop each, starting together. Open them in a suite's `setUp`, close them in
 * its `tearDown`.
 */
export class Threads {
  readonly #workers: readonly Worker[]

  private constructor(workers: readonly Worker[]) {
    this.#workers = workers
  }

  /**
   * Starts `count` threads, each with the loop that `exportName` of `module` makes of the
   * structured-cloneable `data`.
   */
  static async open(module: URL, exportName: string, count: number, data: unknown): Promise<Threads> {
    const gate = new SharedArrayBuffer(4)
    const workers = Array.from({ length: count }, (_, thread) => {
      const workerData: ThreadData = { module: module.href, exportName, data, thread, gate }
      return new Worker(new URL('./thread-main.js', import.meta.url), { workerData })
    })
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    return new Threads(workers)
  }

  /**
   * Nanoseconds per operation of one thread while all of them run, as the mean over the threads.
   */
  readonly measure: Measure = async (effort) => {
    const answers = this.#workers.map((worker) => once(worker, 'message') as Promise<[number]>)
    for (const worker of this.#workers)
      worker.postMessage({ effort, threads: this.#workers.length } satisfies Round)
    const times = (await Promise.all(answers)).map(([time]) => time)
    return times.reduce((sum, time) => sum + time, 0) / times.length
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}
