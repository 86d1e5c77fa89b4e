/** `percpu serve`: the service, its log, and the signals that steer it. */
import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'
import type { AddressRules } from '../address/rules.js'
import { Service } from '../serve/service.js'
import { STOP_MILLISECONDS } from '../serve/settings.js'
import type { TableFiles } from '../table/read.js'
import { writePidFile } from './pid-file.js'
import { bytesProgress } from './progress.js'
import { Terminal } from './terminal.js'

export interface ServeOptions {
  readonly host: string
  readonly port: number
  readonly workers: number
  readonly files: TableFiles
  readonly rules: AddressRules
  readonly memory: number
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  readonly watch: boolean
  readonly maxShrink: number
  readonly patienceMilliseconds: number
  readonly inspect?: string
  readonly attribution?: readonly string[]
  readonly pidFile?: string
  readonly logLevel: string
}

/** How long stopping may take, all in all: whatever still runs then is killed. */
const LIMIT_MILLISECONDS = STOP_MILLISECONDS + 5000

/**
 * Serves until SIGINT or SIGTERM, until its terminal is closed, or until no worker can be started
 * any more. Resolves with the exit code. From the signal on the process lasts 15 seconds at most.
 */
export async function serve({ logLevel, pidFile, ...options }: ServeOptions): Promise<number> {
  const logger = createLogger(logLevel)
  const terminal = new Terminal()
  const pid = pidFile === undefined ? undefined : writePidFile(pidFile)
  const ended = (code: number) => {
    if (terminal.isGone) {
      pid?.remove()
      endByHangUp()
    }
    return code
  }
  let service: Service | undefined
  // A thread that waits for a disk would hold up an orderly end.
  const endAtOnce = () => (service && !service.isLoading ? process.exit(1) : killSelf())
  const stop = new StopRequest(logger, endAtOnce)
  const progress = bytesProgress('loading')
  const starting = Service.start({
    ...options,
    logger,
    signal: stop.signal,
    onProgress: ({ bytes, total }) => progress.update(bytes, total),
  }).finally(() => progress.stop())
  const hangUp = () => {
    // What stops loads nothing more, and is not ended by this signal either.
    if (stop.signal.aborted) return
    if (terminal.isGone) {
      stop.begin('SIGHUP')
      return
    }
    logger.info('SIGHUP: reloading')
    // A service that does not start says so below.
    starting.then((started) => started.reload('SIGHUP')).catch(() => undefined)
  }
  process.on('SIGHUP', hangUp)
  try {
    service = await starting
  } catch (error) {
    pid?.putBack()
    if (!stop.signal.aborted) throw error
    logger.info('stopped')
    return ended(0)
  }
  const { pool } = service
  const hasFailed = await Promise.race([
    stop.requested.then(() => false),
    new Promise<boolean>((resolve) => pool.once('failed', () => resolve(true))),
  ])
  if (hasFailed) stop.begin('failed')
  await service.close()
  logger.info('stopped')
  return ended(hasFailed ? 1 : 0)
}

/** Without a terminal Node crashes at its exit, in setting it back. */
function endByHangUp(): void {
  process.removeAllListeners('SIGHUP')
  process.kill(process.pid, 'SIGHUP')
}

/** Listens for SIGINT and SIGTERM. The first one asks to stop, a second one ends the process. */
class StopRequest {
  readonly #logger: Logger
  readonly #controller = new AbortController()
  readonly requested: Promise<void>

  constructor(logger: Logger, endAtOnce: () => void) {
    this.#logger = logger
    this.requested = new Promise((resolve) =>
      this.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    const ask = (signal: NodeJS.Signals) => {
      if (!this.signal.aborted) {
        this.begin(signal)
        return
      }
      logger.warn({ signal }, 'asked again: ending at once')
      endAtOnce()
    }
    process.on('SIGINT', ask)
    process.on('SIGTERM', ask)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** From now on there is a limit. */
  begin(reason: NodeJS.Signals | 'failed'): void {
    this.#logger.info({ reason }, 'stopping')
    const limit = setTimeout(() => {
      // Not fatal: that waits until it is written.
      this.#logger.error(`a thread has not ended after ${LIMIT_MILLISECONDS / 1000} s: killed`)
      // The line is on its way, if anybody reads it.
      setTimeout(killSelf, 100)
    }, LIMIT_MILLISECONDS)
    // An orderly end is not held up by it.
    limit.unref()
    this.#controller.abort()
  }
}

/** Where leaving would wait for threads that do not end, or for the disk that they wait for. */
function killSelf(): void {
  process.kill(process.pid, 'SIGKILL')
}

/** What of the log may wait for its reader; the rest is dropped. */
const MAX_LOG_BYTES = 2 ** 20

/** Lines of JSON; readable ones on a terminal. */
function createLogger(level: string): Logger {
  // Not synchronous: whoever reads the log may stop doing so, and everything else goes on.
  if (!process.stdout.isTTY)
    return pino({ level }, pino.destination({ fd: 1, sync: false, maxLength: MAX_LOG_BYTES }))
  return pino({ level }, pretty({ sync: false, ignore: 'hostname' }))
}
