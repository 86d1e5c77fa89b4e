/** Takes a snapshot when that is worth while, as long as the service runs. */
import type { Logger } from 'pino'
import type { Store } from '../store/store.js'
import { takeSnapshot } from './snapshot.js'
import type { Table } from './table.js'
import type { Writer } from './writer.js'

/** How often it is looked whether a snapshot is worth while. */
const LOOK_MILLISECONDS = 1000

export interface SnapshotsOptions {
  readonly store: Store
  readonly writer: Writer
  readonly tables: ReadonlyMap<string, Table>
  readonly logger: Pick<Logger, 'info' | 'error'>
}

export class Snapshots {
  readonly #options: SnapshotsOptions
  readonly #timer: NodeJS.Timeout
  #running: Promise<void> | undefined
  #failure: Error | undefined

  constructor(options: SnapshotsOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      if (options.store.wantsSnapshot)
        this.#running ??= this.#take().finally(() => (this.#running = undefined))
    }, LOOK_MILLISECONDS)
  }

  /** Why the last one could not be written; undefined: it was written. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Takes no more. Resolves when the one under way has ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
  }

  async #take(): Promise<void> {
    const { writer, store, tables, logger } = this.#options
    const began = performance.now()
    try {
      await takeSnapshot(writer, store, tables.values())
      this.#failure = undefined
      const seconds = Math.round(performance.now() - began) / 1000
      logger.info({ bytes: store.report().bytes, seconds }, 'snapshot written')
    } catch (error) {
      const isFirst = this.#failure === undefined
      this.#failure = error instanceof Error ? error : new Error(String(error))
      // The store waits longer each time. Told once: the log goes on, and /health says so.
      if (isFirst) logger.error({ err: error }, 'a snapshot could not be written; the log goes on')
    }
  }
}
