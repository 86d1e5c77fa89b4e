/** The other end of serveInspection. */
import { statSync, type Stats } from 'node:fs'
import { connect } from 'node:net'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import { Lines, type Report, type Subscription } from './protocol.js'

const LINE_LIMIT = 1 << 24

/**
 * Inspections from the socket at `path`: one, or, with `every`, one each so many ms until the
 * machine's process ends or `signal` aborts.
 *
 * @throws FileError if nobody serves there, or what comes is no inspection.
 */
export async function* inspections(
  path: string,
  every?: number,
  signal?: AbortSignal,
): AsyncGenerator<Report, void> {
  const socket = connect(path)
  const stop = () => void socket.destroy()
  signal?.addEventListener('abort', stop, { once: true })
  socket.setEncoding('utf8')
  if (every === undefined) socket.end()
  else socket.write(`${JSON.stringify({ every } satisfies Subscription)}\n`)
  const lines = new Lines(LINE_LIMIT)
  try {
    for await (const piece of socket) for (const line of lines.push(String(piece))) yield parse(line, path)
  } catch (error) {
    if (signal?.aborted) return
    if (error instanceof FileError) throw error
    throw new FileError(`cannot watch ${path}: ${reason(error, path)}`, { file: path }, { cause: error })
  } finally {
    signal?.removeEventListener('abort', stop)
    socket.destroy()
  }
}

function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    // The error of connecting says why.
    return undefined
  }
}

function reason(error: unknown, path: string): string {
  const code = codeOf(error)
  const found = path.startsWith('\0') ? undefined : lookAt(path)
  if (found && !found.isSocket()) return `it is no socket but a ${found.isDirectory() ? 'folder' : 'file'}`
  if (code === 'ENOENT') return 'no such socket: give the path that serveInspection or --inspect got'
  if (code === 'ECONNREFUSED') return 'nobody serves inspections there: the program that made it has ended'
  return error instanceof Error ? error.message : String(error)
}

function parse(line: string, path: string): Report {
  let report: Partial<Report>
  try {
    report = JSON.parse(line) as Partial<Report>
  } catch (error) {
    throw new FileError(`${path} does not serve inspections: no JSON came`, { file: path }, { cause: error })
  }
  if (report.protocol !== 1 || !Array.isArray(report.inspection?.gracePeriods))
    throw new FileError(`${path} serves something else than inspections of this version`, { file: path })
  return report as Report
}
