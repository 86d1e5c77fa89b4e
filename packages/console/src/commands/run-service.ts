/** A service as a process: its log, its pid file, and the signals that steer it. */
import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'
import { STOP_MILLISECONDS } from '../serve/settings.js'
import { writePidFile } from './pid-file.js'
import { Terminal } from './terminal.js'

export interface ProcessOptions {
  readonly pidFile?: string | undefined
  readonly logLevel: string
}

/** What is served, from its start to its end. */
export interface RunningService {
  /** Whether a thread may wait for a disk, so that the process could not end in order. */
  readonly isLoading: boolean
  /** Resolves when it cannot go on. */
  readonly failed: Promise<unknown>
  reload(reason: string): Promise<unknown>
  close(): Promise<void>
}

/** How long stopping may take, all in all: whatever still runs then is killed. */
const LIMIT_MILLISECONDS = STOP_MILLISECONDS + 5000

/**
 * Serves until SIGINT or SIGTERM, until its terminal is closed, or until the service cannot go on.
 * Resolves with the exit code. From the signal on the process lasts 15 seconds at most.
 */
export async function runService(
  { logLevel, pidFile }: ProcessOptions,
  start: (logger: Logger, signal: AbortSignal) => Promise<RunningService>,
): Promise<number> {
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
  let service: RunningService | undefined
  // A thread that waits for a disk would hold up an orderly end.
  const endAtOnce = () => (service && !service.isLoading ? process.exit(1) : killSelf())
  const stop = new StopRequest(logger, endAtOnce)
  const starting = start(logger, stop.signal)
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
  const hasFailed = await Promise.race([stop.requested.then(() => false), service.failed.then(() => true)])
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
