/** Takes a table out of a data directory that no service uses. */
import type { Logger } from 'pino'
import { UsageError } from '../errors.js'
import { Store } from '../store/store.js'
import { visible } from '../visible.js'
import { encodeChange } from './change.js'
import { changeIn } from './recorded.js'

/**
 * The next start of a service that has a file of this name reads it, as that of a new table.
 *
 * @throws UsageError if there is no such table; as `Store.open`, `recover` and `append`. Nothing is
 *   dropped then.
 */
export async function dropTable(
  directory: string,
  name: string,
  logger: Pick<Logger, 'info' | 'warn' | 'error'>,
): Promise<void> {
  const store = await Store.open(directory, { sync: 'always', logger })
  try {
    const tables = new Set<string>()
    // Rows of a file have versions after the snapshot's number.
    let greatest = 0
    const see = (payload: Uint8Array) => {
      const change = changeIn(payload)
      if (change.op === 'make') tables.add(change.spec.name)
      else if (change.op === 'drop') tables.delete(change.table)
      else if (change.op === 'entry') greatest = Math.max(greatest, change.version)
    }
    const last = await store.recover({
      snapshot: () => undefined,
      entry: see,
      record: ({ payload }) => see(payload),
    })
    if (!tables.has(name)) {
      const there = tables.size === 0 ? 'no table' : [...tables].sort().join(', ')
      throw new UsageError(`${directory} has no table '${visible(name)}': there is ${there}`, {
        directory,
        table: name,
      })
    }
    const sequence = Math.max(last, greatest) + 1
    await store.append([{ sequence, payload: encodeChange({ op: 'drop', table: name }) }])
  } finally {
    await store.close()
  }
}
