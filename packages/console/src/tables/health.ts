/** What GET /health of a service of tables says. */
import type { NatsTables } from '../nats/nats-tables.js'
import type { Store } from '../store/store.js'
import type { Door } from './door.js'
import type { History } from './history.js'
import type { Health } from './routes.js'
import type { Table } from './table.js'
import type { Writer } from './writer.js'

export interface HealthSources {
  readonly tables: ReadonlyMap<string, Table>
  readonly writer: Writer
  readonly history: History
  readonly store: Store | undefined
  readonly nats: NatsTables | undefined
  readonly door?: Door | undefined
  /** Why the last reading of a file failed, by table. */
  readonly loadErrors: ReadonlyMap<string, Error>
  /** Why the last snapshot failed. */
  readonly snapshotFailed: string | undefined
}

export function healthOf(sources: HealthSources): Health {
  const { tables, writer, history, store, nats, door, loadErrors, snapshotFailed } = sources
  const log = store?.report()
  const bucket = nats?.report()
  const isShort = door !== undefined && door.workers.listening < door.workers.wanted
  const isDegraded =
    loadErrors.size > 0 || (log?.failed ?? snapshotFailed ?? bucket?.trouble) !== undefined || isShort
  return {
    isAlive: true,
    body: {
      status: isDegraded ? 'degraded' : 'ok',
      tables: [...tables.values()].map(({ name, size }) => ({ name, entries: size })),
      sequence: nats?.sequence ?? history.last,
      waiting: nats?.waiting ?? writer.waiting,
      ...(door ? { workers: door.workers } : {}),
      uptimeSeconds: Math.round(process.uptime()),
      ...(log ? { log: { ...log, ...(snapshotFailed === undefined ? {} : { snapshotFailed }) } } : {}),
      ...(bucket ? { bucket: bucket.body } : {}),
      ...(loadErrors.size > 0
        ? { errors: [...loadErrors].map(([table, { message }]) => ({ table, error: message })) }
        : {}),
    },
  }
}
