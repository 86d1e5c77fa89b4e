/** What GET /health of the service of addresses says. */
import type { LookupPool } from '../lookup/pool.js'
import type { FirstTable } from '../table/first-table.js'
import type { Reloader } from './reload.js'

export interface Health {
  readonly isAlive: boolean
  readonly body: object
}

export interface HealthSources {
  readonly pool: LookupPool
  readonly table: FirstTable
  readonly reloader: Reloader
  /** Whom the data is owed to. */
  readonly attribution: readonly string[]
  /** Threads that accept connections, if there are any beside the main one. */
  readonly fronts: { readonly listening: number; readonly wanted: number } | undefined
}

export function healthOf({ pool, table, reloader, attribution, fronts }: HealthSources): Health {
  const { workers } = pool
  const living = workers.filter(({ cpu }) => cpu !== undefined)
  const ready = living.filter(({ isSuspended }) => !isSuspended).length
  const { last } = reloader
  const { generation, bytes, rows4, rows6, entries } = table.summary()
  const isShort = ready < workers.length || (fronts !== undefined && fronts.listening < fronts.wanted)
  const isStarting = generation === 0
  const isDegraded = isShort || last?.error !== undefined
  return {
    isAlive: isStarting || living.length > 0,
    body: {
      status: isStarting ? 'starting' : living.length === 0 ? 'failed' : isDegraded ? 'degraded' : 'ok',
      generation,
      rows: { ipv4: rows4, ipv6: rows6 },
      entries,
      bytes,
      workers: { ready, stuck: living.length - ready, wanted: workers.length },
      ...(fronts ? { listeners: { listening: fronts.listening, wanted: fronts.wanted } } : {}),
      uptimeSeconds: Math.round(process.uptime()),
      lastLoad: last && {
        at: last.at.toISOString(),
        reason: last.reason,
        published: last.table !== undefined,
        ...(last.table && last.table.skipped.lines > 0 ? { skippedLines: last.table.skipped.lines } : {}),
        ...(last.rows ? { rows: last.rows, change: last.change } : {}),
        ...(last.error ? { error: last.error.message } : {}),
      },
      ...(attribution.length > 0 ? { attribution } : {}),
    },
  }
}
