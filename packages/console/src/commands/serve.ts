/** `percpu serve`: the service, its log, and the signals that steer it. */
import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'
import { Service } from '../serve/service.js'
import type { TableFiles } from '../table/build.js'
import { bytesProgress } from './progress.js'

export interface ServeOptions {
  readonly host: string
  readonly port: number
  readonly workers: number
  readonly files: TableFiles
  readonly memory: number
  readonly bodyLimit: number
  readonly timeoutMilliseconds: number
  readonly watch: boolean
  readonly maxShrink: number
  readonly patienceMilliseconds: number
  readonly inspect?: string
  readonly logLevel: string
}

/**
 * Serves until SIGINT or SIGTERM, or until no worker can be started any more. Resolves with the
 * exit code.
 */
export async function serve({ logLevel, ...options }: ServeOptions): Promise<number> {
  const logger = createLogger(logLevel)
  const stopped = stopRequest(logger)
  const progress = bytesProgress('loading')
  const starting = Service.start({
    ...options,
    logger,
    onProgress: ({ bytes, total }) => progress.update(bytes, total),
  }).finally(() => progress.stop())
  const hangUp = () => {
    logger.info('SIGHUP: reloading')
    // A service that does not start says so below.
    starting.then((service) => service.reload('SIGHUP')).catch(() => undefined)
  }
  process.on('SIGHUP', hangUp)
  const service = await starting
  const failed = new Promise<'failed'>((resolve) => service.pool.once('failed', () => resolve('failed')))
  const reason = await Promise.race([stopped, failed])
  process.off('SIGHUP', hangUp)
  logger.info({ reason }, 'stopping')
  await service.close()
  logger.info('stopped')
  return reason === 'failed' ? 1 : 0
}

/** The first request to stop; a second one ends the process at once. */
function stopRequest(logger: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false
    const ask = (signal: NodeJS.Signals) => {
      if (asked) {
        logger.warn({ signal }, 'asked again: ending at once')
        process.exit(1)
      }
      asked = true
      resolve(signal)
    }
    process.on('SIGINT', ask)
    process.on('SIGTERM', ask)
  })
}

/** Lines of JSON; readable ones on a terminal. */
function createLogger(level: string): Logger {
  if (!process.stdout.isTTY) return pino({ level }, pino.destination({ fd: 1, sync: true }))
  return pino({ level }, pretty({ sync: true, ignore: 'hostname' }))
}
