/** `percpu serve`: the table of addresses, or tables of one's own. Each loads what it needs. */
import type { ServiceOptions } from '../serve/service.js'
import type { TableServiceOptions } from '../tables/service.js'
import { bytesProgress } from './progress.js'
import { runService, type ProcessOptions } from './run-service.js'

type Given<Options> = Omit<Options, 'logger' | 'signal' | 'onProgress'> & ProcessOptions

/** Serves look-ups of addresses. Resolves with the exit code. */
export function serve(options: Given<ServiceOptions>): Promise<number> {
  return runService(options, async (logger, signal) => {
    const { Service } = await import('../serve/service.js')
    const progress = await bytesProgress('loading')
    return Service.start({
      ...options,
      logger,
      signal,
      onProgress: ({ bytes, total }) => progress.update(bytes, total),
    }).finally(() => progress.stop())
  })
}

/** Serves tables. Resolves with the exit code. */
export function serveTables(options: Given<TableServiceOptions>): Promise<number> {
  return runService(options, async (logger, signal) => {
    const { TableService } = await import('../tables/service.js')
    return TableService.start({ ...options, logger, signal })
  })
}
