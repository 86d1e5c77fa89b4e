/**
 * The loader: joins the machine, builds one table aside, says where it is, and leaves once that has
 * been noted.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { join, PercpuError } from 'percpu'
import { TableRefusedError } from '../errors.js'
import { buildTable } from './build.js'
import type { FromLoader, LoaderSetup } from './loader-protocol.js'

if (!parentPort) throw new TypeError('this module runs as a worker thread')
const port = parentPort
const { handle, files, generation, limit } = workerData as LoaderSetup
const machine = join(handle)

function send(message: FromLoader): void {
  port.postMessage(message)
}

/**
 * The table belongs to this thread until it is kept, so the thread stays until it is told that this
 * has happened.
 */
port.once('message', () => {
  void machine.offline().then(() => port.close())
})

try {
  const onBytes = (bytes: number) => send({ type: 'progress', bytes })
  const table = await buildTable(machine, files, generation, { limit, onBytes })
  send({ type: 'built', table })
} catch (error) {
  if (error instanceof TableRefusedError) {
    const { problems, rows, details } = error
    send({ type: 'refused', problems, total: details['total'] as number, rows })
  } else {
    const message = error instanceof Error ? error.message : String(error)
    send({ type: 'failed', message, code: error instanceof PercpuError ? error.code : undefined })
  }
}
