/**
 * The loader: joins the machine, reads the files, makes them the table, and leaves when nobody
 * reads any more what was there before.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, PercpuError } from 'percpu'
import { TableRefusedError } from '../errors.js'
import type { FromLoader, LoaderSetup } from './loader-protocol.js'
import { openTable } from './maps.js'
import { publish, settle } from './publish.js'
import { readTable } from './read.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const { handle, name, files, rows: given, limit } = workerData as LoaderSetup
const machine = join(handle)

function send(message: FromLoader): void {
  port.postMessage(message)
}

async function load(): Promise<void> {
  const onBytes = (bytes: number) => send({ type: 'progress', bytes })
  const rows = given ?? (await readTable(files, { limit, onBytes }))
  const maps = openTable(machine, name)
  const { isSettled, ...published } = publish(maps, rows)
  const { ipv4, ipv6, skipped } = rows
  const knownOverlaps = ipv4.knownOverlaps + ipv6.knownOverlaps
  const counts = { rows4: ipv4.length, rows6: ipv6.length, knownOverlaps }
  send({ type: 'published', table: { ...published, ...counts, skipped } })
  if (!isSettled) await settle(maps)
}

try {
  await load()
} catch (error) {
  if (error instanceof TableRefusedError) {
    const { problems, rows, details } = error
    send({ type: 'refused', problems, total: details['total'] as number, rows })
  } else {
    const message = error instanceof Error ? error.message : String(error)
    send({ type: 'failed', message, code: error instanceof PercpuError ? error.code : undefined })
  }
}
await machine.offline()
