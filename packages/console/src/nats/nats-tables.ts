/** The tables of a bucket, as the service has them: followed, changed, and filled from files. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { Refusal } from '../serve/refusal.js'
import type { Place, PlaceWords } from '../tables/place.js'
import type { TableSource } from '../tables/source.js'
import type { Changes } from '../tables/request.js'
import { Bucket, TIMEOUT_MILLISECONDS, type BucketOptions } from './bucket.js'
import { BucketWriter } from './bucket-writer.js'
import { Follower, type FollowerOptions } from './follower.js'
import { loadTable } from './loading.js'

export interface NatsOptions extends BucketOptions {
  /** A node that reads a file, and has given no sign for so long, is gone. Default 10 s. */
  readonly patienceMilliseconds?: number | undefined
}
const PATIENCE_MILLISECONDS = 10_000

/** Its place: this thread makes the changes, so it knows of all that it shows. */
export class NatsTables implements Place {
  readonly #bucket: Bucket
  readonly #follower: Follower
  readonly #writer: BucketWriter
  readonly #options: NatsOptions
  readonly words: PlaceWords
  readonly knowsTables = true

  private constructor(bucket: Bucket, follower: Follower, words: PlaceWords, options: NatsOptions) {
    this.words = words
    this.#bucket = bucket
    this.#follower = follower
    this.#options = options
    this.#writer = new BucketWriter(bucket, follower, options.timeoutMilliseconds)
  }

  /**
   * Connects, and resolves when the tables are those of the bucket.
   *
   * @throws BucketError, FileError, OutOfMemoryError. Nothing is left open.
   */
  static async open(options: NatsOptions, following: Omit<FollowerOptions, 'bucket'>): Promise<NatsTables> {
    const bucket = await Bucket.open(options)
    const follower = new Follower({ bucket, ...following })
    const tables = new NatsTables(bucket, follower, following.place, options)
    try {
      await follower.start()
    } catch (error) {
      await tables.close()
      throw error
    }
    return tables
  }

  get changes(): Changes {
    return this.#writer
  }
  get waiting(): number {
    return this.#writer.waiting
  }
  get sequence(): number {
    return this.#follower.sequence
  }

  /** Resolves when all these tables are there. @throws what {@link loadTable} throws */
  async load(sources: readonly TableSource[], logger: Logger, signal: AbortSignal): Promise<void> {
    const { patienceMilliseconds = PATIENCE_MILLISECONDS } = this.#options
    const loading = {
      ...{ bucket: this.#bucket, follower: this.#follower, patienceMilliseconds, signal },
      node: randomUUID(),
    }
    for (const source of sources) {
      const { name: table, file } = source
      const { rows, lines } = await loadTable(source, loading)
      if (lines > 0) logger.warn({ table, lines }, 'lines were left out (--skip-bad)')
      if (rows === undefined) logger.info({ table, file }, 'the bucket has the table: its file is not read')
      else logger.info({ table, file, rows }, 'table loaded')
    }
  }

  get newest(): number {
    return this.words.newest
  }
  learnTables(): Promise<void> {
    return Promise.resolve()
  }
  async reach(sequence: number): Promise<void> {
    const { timeoutMilliseconds = TIMEOUT_MILLISECONDS } = this.#options
    if (await this.#follower.reached(sequence, timeoutMilliseconds)) return
    throw new Refusal(503, 'BEHIND', `this node is at version ${this.sequence}, not yet at ${sequence}`)
  }

  /** What `GET /health` says of it. */
  report(): { readonly trouble: string | undefined; readonly body: object } {
    const { trouble, behindSeconds } = this.#follower
    const { name, isConnected } = this.#bucket
    return {
      trouble,
      body: { name, connected: isConnected, behindSeconds, ...(trouble === undefined ? {} : { trouble }) },
    }
  }

  async close(): Promise<void> {
    await this.#writer.close()
    const ended = this.#follower.close()
    await this.#bucket.close()
    await ended
  }
}
