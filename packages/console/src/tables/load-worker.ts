/**
 * Loads a table: joins the machine, reads the file, makes what it says the table, and leaves when
 * nobody reads any more what was there before.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, PercpuError } from 'percpu'
import { TableRefusedError } from '../errors.js'
import type { FromTableLoader, TableLoaderSetup } from './load.js'
import { readRows, type ReadRow } from './read-rows.js'
import { storedOf, Table } from './table.js'
import type { Key } from './keys.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const { handle, source, keys, version, maxShrink } = workerData as TableLoaderSetup
const machine = join(handle)

function send(message: FromTableLoader): void {
  port.postMessage(message)
}

async function load(): Promise<void> {
  const { rows, skipped, ...found } = await readRows(source, keys, (bytes) =>
    send({ type: 'progress', bytes }),
  )
  const { name, isRange, file } = source
  const table = new Table(machine, { name, keys: found.keys, isRange })
  const before = table.size
  if (before > 0 && rows.length < (before * (100 - maxShrink)) / 100) {
    const text = `has ${rows.length} rows where ${before} are served: more than ${maxShrink} % would be lost (--max-shrink)`
    throw new TableRefusedError([{ file, line: 0, text }], 1)
  }
  const changed = before === 0 ? rows.length : undefined
  const stored = storedRows(table, rows)
  if (changed === undefined) {
    const count = table.map.replace(stored)
    send({ type: 'loaded', keys: found.keys, rows: rows.length, changed: count, skipped })
  } else {
    table.map.load(stored)
    send({ type: 'loaded', keys: found.keys, rows: rows.length, changed, skipped })
  }
  await table.map.barrier()
}

/** What says the same as before keeps its version. */
function* storedRows(table: Table, rows: readonly ReadRow[]): Generator<[Key, Key, Uint8Array]> {
  const isNew = table.size === 0
  for (const row of rows) {
    const value = Buffer.from(row.value)
    // Ranges side by side that say the same, since the same reading, are one.
    const before = isNew ? undefined : table.get(row.from)
    const isSame = before && table.codec.compare(before.to, row.to) >= 0 && before.value.equals(value)
    const kept = isSame ? before.version : version
    yield [row.from, row.to, storedOf(kept, value)]
  }
}

try {
  await load()
} catch (error) {
  if (error instanceof TableRefusedError)
    send({ type: 'refused', problems: error.problems, total: error.details['total'] as number })
  else {
    const message = error instanceof Error ? error.message : String(error)
    send({ type: 'failed', message, code: error instanceof PercpuError ? error.code : undefined })
  }
}
await machine.offline()
