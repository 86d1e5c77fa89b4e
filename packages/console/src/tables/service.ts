/**
 * The service of tables: a machine, its tables, their log and its server, started and stopped as
 * one.
 *
 * With a data directory, or a bucket, the tables are those that it holds; a file is read once, when
 * its table is new. Without, they are what their files say, and changes last until the file changes
 * or the process ends.
 */
import { boot, type Machine } from 'percpu'
import type { Logger } from 'pino'
import path from 'node:path'
import { AbortedError, LoadError, UsageError } from '../errors.js'
import { FileWatch } from '../serve/file-watch.js'
import { assertCanListen } from '../serve/listening.js'
import { PATIENCE_MILLISECONDS } from '../serve/settings.js'
import { serveInspection, type InspectionServer } from '../inspect/serve-inspection.js'
import { Store, type StoreOptions } from '../store/store.js'
import type { NatsOptions, NatsTables } from '../nats/nats-tables.js'
import { MAX_SHRINK } from '../table/row-counts.js'
import { inspectionMetrics } from '../top/metrics.js'
import { unlessAborted } from '../unless-aborted.js'
import { encodeChange } from './change.js'
import { openDoor, type Door } from './door.js'
import { healthOf } from './health.js'
import { History } from './history.js'
import { loadRows } from './load.js'
import { relieve, reserve } from './memory.js'
import { TableMetrics } from './metrics.js'
import { PlaceWords } from './place.js'
import { recoverTables } from './recover.js'
import { takeSnapshot } from './snapshot.js'
import { Snapshots } from './snapshots.js'
import { assertSameKeys, type TableSource } from './source.js'
import { Table } from './table.js'
import { Token } from './token.js'
import { Writer } from './writer.js'

export interface TableServiceOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly sources: readonly TableSource[]
  /** The data directory. Default: changes are kept in memory only. */
  readonly data?: string | undefined
  readonly sync?: StoreOptions['sync']
  /** The bucket that has the tables, for several nodes. Not beside `data`. */
  readonly nats?: NatsOptions | undefined
  /** File of the token. Default: `token` in the data directory; without one, a token each time. */
  readonly tokenFile?: string | undefined
  /** Bytes of changes that are kept for clients which come back. Default 16 MiB. */
  readonly history?: number
  /**
   * Threads that accept connections, where several can listen on one port; elsewhere this thread
   * does. Default 1: this thread.
   */
  readonly workers?: number
  readonly memory: number | string
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  /** Whether changed files are read again, where there is no data directory. */
  readonly watch: boolean
  readonly maxShrink?: number
  /**
   * How long a thread that accepts connections may give no sign of life before it is replaced, ms,
   * from 2. Default: {@link PATIENCE_MILLISECONDS}.
   */
  readonly patienceMilliseconds?: number
  readonly inspect?: string | undefined
  readonly logger: Logger
  readonly signal?: AbortSignal
}

/** Beside those of workers: this thread, loaders, and threads that are being replaced. */
const SPARE_CPUS = 14
const HISTORY_BYTES = 16 * 2 ** 20

interface Parts {
  readonly tables: ReadonlyMap<string, Table>
  readonly writer: Writer
  readonly store: Store | undefined
  readonly nats: NatsTables | undefined
  readonly metrics: TableMetrics
  readonly history: History
  /** Where requests come in; from its beginning on. */
  door?: Door
}

export class TableService {
  readonly machine: Machine
  readonly #options: TableServiceOptions
  readonly #stop = new AbortController()
  /** Resolves when nothing can be changed truly any more. */
  readonly failed: Promise<Error>
  #fail: (error: Error) => void = () => undefined
  #parts: Parts | undefined
  #watch: FileWatch | undefined
  #inspection: InspectionServer | undefined
  #snapshots: Snapshots | undefined
  #loading: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  /** From the beginning of listening on. */
  #opening: Promise<Door> | undefined
  /** Why the last reading of a file failed, by table. */
  readonly #loadErrors = new Map<string, Error>()
  #isReading = false
  #store: Store | undefined
  #nats: NatsTables | undefined

  private constructor(options: TableServiceOptions) {
    this.#options = options
    this.machine = boot({ memory: options.memory, cpus: (options.workers ?? 1) + SPARE_CPUS })
    this.failed = new Promise((resolve) => (this.#fail = resolve))
  }

  /**
   * Recovers or loads the tables, and listens.
   *
   * @throws StoreDamagedError, StoreBusyError, TableRefusedError, FileError, LoadError, UsageError
   *   for a table that the data directory has as another kind, AbortedError at the signal, or what
   *   listening throws. Nothing is left running.
   */
  static async start(options: TableServiceOptions): Promise<TableService> {
    const service = new TableService(options)
    try {
      await unlessAborted(service.#begin(), options.signal)
    } catch (error) {
      await service.close()
      throw error
    }
    return service
  }

  /** Where it listens, as a URL. */
  get url(): string {
    return this.#begun.door?.url ?? ''
  }
  get tables(): ReadonlyMap<string, Table> {
    return this.#begun.tables
  }
  get #begun(): Parts {
    if (this.#parts) return this.#parts
    throw new AbortedError('the service has not begun')
  }

  /** Whether files are being read. */
  get isLoading(): boolean {
    return this.#isReading
  }

  /** Reads all files again, unless there is a data directory. */
  async reload(reason: string): Promise<void> {
    const { sources, logger } = this.#options
    const { store, nats } = this.#begun
    if (store ?? nats) {
      logger.info({ reason }, 'the tables are those that are kept: no file is read')
      return
    }
    for (const source of sources) await this.#reloadOne(source, reason)
  }

  /**
   * Stops accepting, lets requests in flight finish for a while, keeps what was accepted, and lets
   * the data directory go.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  // -----------------------------------------------------------------------------------------------
  // Beginning.

  async #begin(): Promise<void> {
    const { host, port, inspect, logger, data } = this.#options
    await assertCanListen(host, port)
    if (inspect !== undefined) this.#inspection = await serveInspection(this.machine, inspect)
    const parts = await this.#create()
    this.#parts = parts
    const token = await this.#openToken()
    await this.#load(parts)
    if (parts.store && parts.tables.size === 0)
      throw new UsageError(`the data directory ${data ?? ''} has no table: name the file of one`)
    if (data === undefined && !parts.nats)
      logger.warn('changes are kept in memory only: --data DIR keeps them')
    this.#assertWanted()
    this.#opening = this.#open(parts, token)
    parts.door = await this.#opening
    this.#assertWanted()
    const { store, writer } = parts
    if (store) this.#snapshots = new Snapshots({ store, writer, tables: parts.tables, logger })
    else if (this.#options.watch && !parts.nats) await this.#watchFiles()
    const tables = [...parts.tables.values()].map(({ name, size }) => ({ name, entries: size }))
    logger.info({ url: this.url, tables, ...(token.isNew ? { token: token.text } : {}) }, 'listening')
  }

  #openToken(): Promise<Token> {
    const { data, tokenFile = data === undefined ? undefined : path.join(data, 'token') } = this.#options
    return tokenFile === undefined ? Promise.resolve(Token.make()) : Token.inFile(tokenFile)
  }

  async #create(): Promise<Parts> {
    const { data, nats: bucket, logger, sync = 'always', history: limit = HISTORY_BYTES } = this.#options
    if (data !== undefined && bucket) throw new UsageError('--data says nothing beside --nats')
    const { machine } = this
    const history = new History(limit)
    const store = data === undefined ? undefined : await Store.open(data, { sync, logger })
    this.#store = store
    // Numbers of another life of the service must not be taken for those of this one.
    if (!store) history.startAt(Date.now() * 1000)
    const tables = store ? await recoverTables(machine, store, history) : new Map<string, Table>()
    const metrics: TableMetrics = new TableMetrics({
      ...{ machine, tables },
      sequence: () => nats?.sequence ?? history.last,
      waiting: () => nats?.waiting ?? writer.waiting,
      clients: () => this.#parts?.door?.clients ?? 0,
      logBytes: () => store?.report().bytes ?? 0,
    })
    inspectionMetrics(metrics.registry, machine)
    const writer = new Writer({
      ...{ history, log: store, logger },
      reserve: (sizes) => reserve(machine, tables.values(), sizes),
      relieve: () => relieve(machine, tables.values()),
      onMade: (table, count) => metrics.writes.inc({ table: table.name }, count),
      onBroken: (error) => this.#fail(error),
    })
    const nats = await this.#followBucket(tables, history, metrics)
    return { tables, writer, store, nats, metrics, history }
  }

  #open({ tables, writer, nats, metrics, history }: Parts, token: Token): Promise<Door> {
    const { host, port, bodyLimit, timeoutMilliseconds, logger, workers = 1 } = this.#options
    const { patienceMilliseconds = PATIENCE_MILLISECONDS } = this.#options
    return openDoor({
      patienceMilliseconds,
      ...{ host, port, bodyLimit, timeoutMilliseconds, logger, workers, token, tables, metrics },
      historyBytes: this.#options.history ?? HISTORY_BYTES,
      ...{ changes: nats?.changes ?? writer, feed: history, place: nats, machine: this.machine },
      sequence: () => nats?.sequence ?? history.last,
      health: () =>
        healthOf({
          ...this.#begun,
          loadErrors: this.#loadErrors,
          snapshotFailed: this.#snapshots?.failure?.message,
        }),
      onFailed: (error) => this.#fail(error),
    })
  }

  /** Loaded here only: the client of NATS takes time to load, and most services need none. */
  async #followBucket(
    tables: Map<string, Table>,
    history: History,
    metrics: TableMetrics,
  ): Promise<NatsTables | undefined> {
    const { nats: options, logger } = this.#options
    if (!options) return undefined
    const { NatsTables } = await import('../nats/nats-tables.js')
    return (this.#nats = await NatsTables.open(options, {
      ...{ machine: this.machine, tables, history, logger, place: new PlaceWords() },
      onMade: (table, count) => metrics.writes.inc({ table: table.name }, count),
    }))
  }

  /** Tables that there are not yet are read from their files. */
  async #load({ writer, store, nats, tables, history }: Parts): Promise<void> {
    const { sources, logger } = this.#options
    if (nats) return nats.load(sources, logger, this.#stop.signal)
    let newest: Table | undefined
    for (const source of sources) {
      const { name, file } = source
      const table = tables.get(name)
      if (table) {
        assertSameKeys(this.#options.data ?? '', source, table.spec)
        logger.info({ table: name, entries: table.size, file }, 'table kept: its file is not read')
        continue
      }
      await this.#read(source, 'start')
      newest = tables.get(name)
    }
    // What was read must be there when changes are logged that build on it.
    if (!store || !newest) return
    await takeSnapshot(writer, store, tables.values(), true)
    // No row has the last number then: without a record, a change had it again after a restart.
    if (newest.size === 0)
      await store.append([
        { sequence: history.last, payload: encodeChange({ op: 'clear', table: newest.name }) },
      ])
  }

  async #read(source: TableSource, reason: string): Promise<void> {
    const { logger, maxShrink = MAX_SHRINK } = this.#options
    const { writer, history, tables } = this.#begun
    const { name, file, isRange, columns } = source
    const known = tables.get(name)
    const began = performance.now()
    await writer.exclusively(async (sequence) => {
      const setup = { source, keys: known?.spec.keys, version: sequence, maxShrink }
      this.#isReading = true
      const loading = loadRows(this.machine, setup, this.#stop.signal)
      const { keys, rows, changed, skipped } = await loading.finally(() => (this.#isReading = false))
      const table = known ?? new Table(this.machine, { name, keys, isRange, columns })
      this.#add(table)
      history.add({ sequence, table: name, kind: 'reset', data: `{"sequence":${sequence}}` })
      if (skipped.lines > 0) logger.warn({ table: name, ...skipped }, 'lines were left out (--skip-bad)')
      const seconds = Math.round(performance.now() - began) / 1000
      logger.info({ reason, table: name, file, keys, rows, changed, seconds }, 'table loaded')
    })
  }
  #add(table: Table): void {
    ;(this.#begun.tables as Map<string, Table>).set(table.name, table)
  }

  /** It may have been closed while it began. */
  #assertWanted(): void {
    if (this.#closing) throw new AbortedError('given up: the service is being stopped')
  }

  // -----------------------------------------------------------------------------------------------
  // Files that change.

  async #watchFiles(): Promise<void> {
    this.#assertWanted()
    const { sources, logger } = this.#options
    const changed = (file: string) => {
      const source = sources.find((candidate) => path.resolve(candidate.file) === path.resolve(file))
      if (source) void this.#reloadOne(source, `${file} changed`)
    }
    this.#watch = new FileWatch(
      sources.map(({ file }) => file),
      { logger, changed },
    )
    await this.#watch.ready
  }

  /** One at a time. The table stays as it was if its file is refused. */
  #reloadOne(source: TableSource, reason: string): Promise<void> {
    const { logger } = this.#options
    this.#loading = this.#loading.then(async () => {
      if (this.#closing) return
      try {
        await this.#read(source, reason)
        this.#loadErrors.delete(source.name)
      } catch (error) {
        if (error instanceof AbortedError) return
        const failure = error instanceof Error ? error : new LoadError(String(error))
        this.#loadErrors.set(source.name, failure)
        logger.error({ reason, table: source.name }, failure.message)
      }
    })
    return this.#loading
  }

  // -----------------------------------------------------------------------------------------------
  // Snapshots, and the end.

  async #end(): Promise<void> {
    this.#stop.abort()
    const snapshots = this.#snapshots?.close()
    await this.#watch?.close()
    const parts = this.#parts
    // Nothing is left open by what could not open.
    const door = await this.#opening?.catch(() => undefined)
    await door?.close()
    await parts?.writer.close()
    await this.#loading
    await snapshots
    await this.#store?.close()
    await this.#nats?.close()
    await this.#inspection?.close()
    parts?.metrics.registry.clear()
    await this.machine.offline()
  }
}
