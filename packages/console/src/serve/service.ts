/**
 * The lookup service: a machine, its table, its workers and its server, started and stopped as one.
 *
 * Threads on the machine: this one, one a worker, and now and then a loader. Where several threads
 * can listen on one port there are as many as workers which accept connections and look single
 * addresses up; elsewhere this thread does. A thread that is being replaced may hold its number a
 * little longer, so there are numbers to spare.
 *
 *     start without a table file    load ──▶ listen
 *     start with one                read it ──▶ listen, answer single addresses ──▶ load
 */
import { devNull } from 'node:os'
import type { FastifyInstance } from 'fastify'
import { boot, type Machine } from 'percpu'
import type { Logger } from 'pino'
import { STRICT, type AddressRules } from '../address/rules.js'
import { attributionOf } from '../attribution.js'
import { availableCpus } from '../available-cpus.js'
import { AbortedError } from '../errors.js'
import { LookupPool } from '../lookup/pool.js'
import { AddressTable } from '../table/address-table.js'
import { FirstTable } from '../table/first-table.js'
import { columnsText, fieldsOf, USUAL_FORMAT } from '../table/format.js'
import type { LoadProgress } from '../table/load.js'
import { openTable } from '../table/maps.js'
import { readKept } from '../table/kept-table.js'
import type { TableFiles } from '../table/read.js'
import { MAX_SHRINK } from '../table/row-counts.js'
import { inspectionMetrics } from '../top/metrics.js'
import { unlessAborted } from '../unless-aborted.js'
import { serveInspection, type InspectionServer } from '../inspect/serve-inspection.js'
import type { Door } from './door.js'
import { canSharePort } from './fronts.js'
import { healthOf } from './health.js'
import { assertCanListen } from './listening.js'
import { Metrics } from './metrics.js'
import { Reloader, type ReloadOutcome } from './reload.js'
import { PATIENCE_MILLISECONDS, SPARE_CPUS, STOP_MILLISECONDS, TABLE_NAME } from './settings.js'
import type { FileWatch } from './file-watch.js'
import { ThreadWatch } from './thread-watch.js'

export interface ServiceOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly workers: number
  /**
   * Threads that accept connections beside the workers; 0: the calling thread does. Default: as
   * many as workers, if they are several and can share a port.
   */
  readonly fronts?: number
  readonly files: TableFiles
  /** Bytes, or text such as '1 GiB': the machine's memory. */
  readonly memory: number | string
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  /** What addresses are. Default: nothing beyond {@link STRICT}. */
  readonly rules?: AddressRules | undefined
  /** Whom the data is owed to. Default: as the package has it for its files; else nobody. */
  readonly attribution?: readonly string[] | undefined
  /** Whether changed files are reloaded. */
  readonly watch: boolean
  /**
   * Percent of a family's ranges, 0 to 100, that may be missing in the next table. Default: {@link
   * MAX_SHRINK}.
   */
  readonly maxShrink?: number
  /**
   * How long a worker, or a thread that accepts connections, may give no sign of life before it is
   * replaced, ms, from 2. Default: {@link PATIENCE_MILLISECONDS}.
   */
  readonly patienceMilliseconds?: number
  /** Path of a local socket on which `percpu top` can look at the machine. Default: none. */
  readonly inspect?: string | undefined
  readonly logger: Logger
  readonly onProgress?: (progress: LoadProgress) => void
  /** Gives the start up, wherever it is. */
  readonly signal?: AbortSignal
}

/** How long a load that is given up may take to end: it may wait for a disk. */
const GIVE_UP_MILLISECONDS = 1000
/** How long workers that do nothing may take to end. */
const WORKERS_MILLISECONDS = 5000
/** The reason of the load that comes before listening. */
const FIRST_LOAD = 'start'

type OpenDoor = (typeof import('./door.js'))['openDoor']

interface Parts {
  readonly machine: Machine
  readonly pool: LookupPool
  readonly metrics: Metrics
  readonly reloader: Reloader
  readonly table: FirstTable
  readonly attribution: readonly string[]
  readonly threadWatch: ThreadWatch
}

export class Service {
  readonly #options: ServiceOptions
  readonly #parts: Parts
  #watch: FileWatch | undefined
  #inspection: InspectionServer | undefined
  #closing: Promise<void> | undefined
  /** While it opens, and from then on. */
  #opening: Promise<Door> | undefined
  #door: Door | undefined
  /** Whether the first table was published. */
  #isComplete = false
  /** Resolves when no worker, or no thread that accepts connections, can be started any more. */
  readonly failed: Promise<unknown>
  #fail: (error: Error) => void = () => undefined

  private constructor(options: ServiceOptions, parts: Parts) {
    this.#options = options
    this.#parts = parts
    this.failed = new Promise((resolve) => (this.#fail = resolve))
    parts.pool.once('failed', this.#fail)
  }

  /**
   * Loads the table, starts the workers, and listens. Resolves when all of that is done.
   *
   * @throws TableRefusedError, FileError (also for the socket), LoadError, WorkerLostError,
   *   AbortedError at the signal, or what listening throws. Nothing is left running.
   */
  static async start(options: ServiceOptions): Promise<Service> {
    const service = new Service(options, createParts(options))
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
    return this.#door?.url ?? ''
  }
  get machine(): Machine {
    return this.#parts.machine
  }
  get pool(): LookupPool {
    return this.#parts.pool
  }
  /** The server, for looking at its connections, if this thread accepts them. */
  get app(): FastifyInstance | undefined {
    return this.#door?.app
  }
  /** The threads that accept connections, if this one does not. */
  get fronts(): Door['fronts'] {
    return this.#door?.fronts
  }

  /** Whether files are being read. */
  get isLoading(): boolean {
    return this.#parts.reloader.isRunning
  }

  /** Loads the files anew; the table before stays if they are refused. */
  reload(reason: string): Promise<ReloadOutcome> {
    return this.#parts.reloader.request(reason)
  }

  /**
   * Stops accepting, gives up loading, lets requests in flight finish for a while, and takes the
   * workers offline. A loader that waits for a disk which does not answer may outlive it.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end()
    return this.#closing
  }

  async #begin(): Promise<void> {
    const { reloader, machine, table } = this.#parts
    const { files, host, port, inspect, logger, onProgress } = this.#options
    const { ipv4, ipv6, format = USUAL_FORMAT } = files
    // Before the table is loaded: that takes seconds.
    await assertCanListen(host, port)
    // That can be watched, too.
    if (inspect !== undefined) await this.#inspect(machine, inspect)
    const columns = columnsText(format.columns)
    const { workers } = this.#options
    logger.info({ ipv4, ipv6, columns, workers, ...availableCpus() }, 'loading')
    // The server's modules are loaded meanwhile.
    const door = import('./door.js')
    const rows = await readKept(files)
    const loading = reloader.request(FIRST_LOAD, { onProgress, rows })
    if (rows) table.answerFrom(rows)
    else await this.#complete(loading)
    await this.#open((await door).openDoor)
    await this.#complete(loading)
  }

  /** Single addresses may be answered before that, batches are not. */
  async #complete(loading: Promise<ReloadOutcome>): Promise<void> {
    const { error } = await loading
    if (error) throw error
    const { pool } = this.#parts
    this.#isComplete = true
    pool.release()
    await pool.ready()
  }

  async #open(openDoor: OpenDoor): Promise<void> {
    const { watch, logger } = this.#options
    const { attribution } = this.#parts
    this.#assertWanted()
    this.#opening = this.#openDoor(openDoor)
    this.#door = await this.#opening
    if (watch) await this.#watchFiles()
    const owed = attribution.length > 0 ? { attribution: attribution.join('; ') } : {}
    logger.info({ url: this.url, ...owed }, 'listening')
  }

  #openDoor(openDoor: OpenDoor): Promise<Door> {
    const { machine, pool, table, metrics, reloader, attribution, threadWatch } = this.#parts
    const { host, port, bodyLimit, timeoutMilliseconds, logger, files, rules = STRICT } = this.#options
    return openDoor({
      ...{ machine, host, port, pool, table, rules, attribution, metrics, bodyLimit, timeoutMilliseconds },
      ...{ logger, watch: threadWatch },
      fronts: frontsOf(this.#options),
      fields: fieldsOf((files.format ?? USUAL_FORMAT).columns),
      health: () => healthOf({ pool, table, reloader, attribution, fronts: this.fronts }),
      onFailed: this.#fail,
    })
  }

  /** It may have been closed while it began. */
  #assertWanted(): void {
    if (this.#closing) throw new AbortedError('given up: the service is being stopped')
  }

  async #inspect(machine: Machine, path: string): Promise<void> {
    const inspection = await serveInspection(machine, path)
    if (this.#closing) await inspection.close()
    this.#assertWanted()
    this.#inspection = inspection
  }

  async #watchFiles(): Promise<void> {
    const { FileWatch } = await import('./file-watch.js')
    this.#assertWanted()
    const { files, logger } = this.#options
    const watched = [files.ipv4, files.ipv6].filter((file) => file !== devNull)
    this.#watch = new FileWatch(watched, {
      logger,
      changed: (file) => void this.reload(`${file} changed`),
    })
    await this.#watch.ready
  }

  async #end(): Promise<void> {
    const { pool, reloader, machine, metrics, threadWatch } = this.#parts
    const end = performance.now() + STOP_MILLISECONDS
    threadWatch.expectDeaths()
    reloader.stop()
    // Those that wait for the first table would hold up the end of the door.
    if (!this.#isComplete) pool.refuse()
    await this.#watch?.close()
    // Nothing is left open by what could not open.
    const door = await this.#opening?.catch(() => undefined)
    await door?.close()
    await within(reloader.settled(), GIVE_UP_MILLISECONDS)
    threadWatch.stop()
    await pool.close(Math.max(0, Math.min(WORKERS_MILLISECONDS, end - performance.now())))
    await this.#inspection?.close()
    metrics.registry.clear()
    await machine.offline()
  }
}

/** Waits for the promise, but not longer. */
async function within(promise: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, milliseconds)))
  await Promise.race([promise, late])
  clearTimeout(timer)
}

function createParts(options: ServiceOptions): Parts {
  const { logger, workers, files, memory, maxShrink = MAX_SHRINK, rules = STRICT } = options
  const machine = boot({ memory, cpus: Math.min(256, workers + frontsOf(options) + SPARE_CPUS) })
  const fields = fieldsOf((files.format ?? USUAL_FORMAT).columns)
  const table = new FirstTable(new AddressTable(machine, TABLE_NAME, fields), fields)
  const pool = new LookupPool(machine, { workers, table: TABLE_NAME, fields, rules, isHeld: true })
  const metrics = new Metrics({ machine, pool, table })
  inspectionMetrics(metrics.registry, machine)
  const onOutcome = (outcome: ReloadOutcome) => report(logger, metrics, outcome)
  const reloader = new Reloader({
    machine,
    name: TABLE_NAME,
    maps: openTable(machine, TABLE_NAME),
    files,
    maxShrink,
    onOutcome,
  })
  logLosses(pool, logger)
  const threadWatch = new ThreadWatch(machine, options.patienceMilliseconds ?? PATIENCE_MILLISECONDS, logger)
  threadWatch.add(pool)
  const { attribution = attributionOf(files) } = options
  return { machine, pool, metrics, reloader, table, attribution, threadWatch }
}

/** How many threads accept connections beside this one. */
function frontsOf({ workers, fronts }: ServiceOptions): number {
  return fronts ?? (workers > 1 && canSharePort() ? workers : 0)
}

function report(logger: Logger, metrics: Metrics, outcome: ReloadOutcome): void {
  const { reason, table, error, rows, change } = outcome
  metrics.noteLoad(outcome)
  if (table) {
    const { generation, changed, milliseconds, knownOverlaps, skipped } = table
    const seconds = Math.round(milliseconds) / 1000
    if (skipped.lines > 0) logger.warn(skipped, 'lines were left out (--skip-bad)')
    logger.info({ reason, generation, ...rows, change, changed, seconds, knownOverlaps }, 'table published')
    return
  }
  // The first load's error is thrown by Service.start.
  if (error instanceof AbortedError) logger.info({ reason }, 'loading was given up')
  else if (reason !== FIRST_LOAD)
    logger.error({ reason, ...rows, change }, error?.message ?? 'the table could not be loaded')
}

function logLosses(pool: LookupPool, logger: Logger): void {
  pool.on('lost', ({ place, cpu, error, retried }) => {
    logger.error({ worker: place, cpu, err: error, retried }, 'a worker ended; another one takes its place')
  })
  pool.on('ready', ({ place, cpu, replaced }) => {
    logger.debug({ worker: place, cpu, replaced }, 'worker ready')
  })
  pool.on('failed', (error) => logger.fatal({ err: error }, 'no worker can be started any more'))
}
