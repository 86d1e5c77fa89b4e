/** `percpu top`: watches a machine whose process serves inspections. */
import { createLogUpdate } from 'log-update'
import type { Inspection } from 'percpu'
import { FileError } from '../errors.js'
import { inspections } from '../inspect/client.js'
import { render } from '../top/render.js'

export interface TopOptions {
  /** The socket that the machine's process serves. */
  readonly socket: string
  /** Milliseconds between inspections. */
  readonly interval: number
  /** Print one inspection and end. */
  readonly once: boolean
  /** Print inspections as JSON, one a line. */
  readonly json: boolean
  readonly output: NodeJS.WriteStream | NodeJS.WritableStream
  readonly signal?: AbortSignal
}

/**
 * Ends when the machine's process does, when `signal` aborts, or after one inspection.
 *
 * @throws FileError if nobody serves there.
 */
export async function top({ socket, interval, once, json, output, signal }: TopOptions): Promise<void> {
  const isTerminal = 'isTTY' in output && output.isTTY
  const update = isTerminal && !once && !json ? createLogUpdate(output) : undefined
  let seen = 0
  let before: Inspection | undefined
  for await (const report of inspections(socket, once ? undefined : interval, signal)) {
    seen++
    if (json) output.write(`${JSON.stringify(report)}\n`)
    else if (update) update(render(report, { color: true }, before))
    else output.write(render(report, { color: isTerminal }, before))
    before = report.inspection
  }
  update?.done()
  if (seen === 0 && !signal?.aborted)
    throw new FileError(`${socket} was closed before an inspection came`, { file: socket })
}
