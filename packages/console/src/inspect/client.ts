/** The other end of serveInspection. */
import { statSync, type Stats } from 'node:fs'
import { connect } from 'node:net'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import {
  Lines,
  type Refusal,
  type Report,
  type SpacesReport,
  type SpacesRequest,
  type Subscription,
} from './protocol.js'

const LINE_LIMIT = 1 << 24

/**
 * Inspections from the socket at `path`: one, or, with `every`, one each so many ms until the
 * machine's process ends or `signal` aborts. With `memory` each has what the memory is used for.
 *
 * @throws FileError if nobody serves there, what comes is no inspection, or the machine could not
 *   tell: it has gone offline.
 */
export async function* inspections(
  path: string,
  every?: number,
  signal?: AbortSignal,
  { memory = false }: { readonly memory?: boolean } = {},
): AsyncGenerator<Report, void> {
  const request = every === undefined ? undefined : ({ every, memory } satisfies Subscription)
  for await (const line of linesOf(path, request, signal)) {
    const report = parse<Report & Refusal>(line, path)
    refuse(report, path)
    if (report.protocol !== 1 || !Array.isArray(report.inspection?.gracePeriods)) throw otherVersion(path)
    yield report as Report
  }
}

/**
 * What the spaces of the machine have whose process serves the socket at `path`.
 *
 * @throws FileError if nobody serves there, or the machine could not tell.
 */
export async function inspectSpaces(path: string, signal?: AbortSignal): Promise<SpacesReport> {
  for await (const line of linesOf(path, { spaces: true } satisfies SpacesRequest, signal)) {
    const report = parse<SpacesReport & Refusal>(line, path)
    refuse(report, path)
    if (report.protocol !== 1 || !Array.isArray(report.spaces)) throw otherVersion(path)
    return report as SpacesReport
  }
  signal?.throwIfAborted()
  throw new FileError(
    `${path} was closed before an answer came: whoever serves it may be of an older version`,
    {
      file: path,
    },
  )
}

/** What comes from the socket at a path, after this request; without one the writing side ends. */
async function* linesOf(
  path: string,
  request: Subscription | SpacesRequest | undefined,
  signal?: AbortSignal,
): AsyncGenerator<string, void> {
  const socket = connect(path)
  const stop = () => void socket.destroy()
  signal?.addEventListener('abort', stop, { once: true })
  socket.setEncoding('utf8')
  if (request === undefined) socket.end()
  else socket.write(`${JSON.stringify(request)}\n`)
  const lines = new Lines(LINE_LIMIT)
  try {
    for await (const piece of socket) yield* lines.push(String(piece))
  } catch (error) {
    if (signal?.aborted) return
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

function parse<Wanted>(line: string, path: string): Partial<Wanted> {
  try {
    return JSON.parse(line) as Partial<Wanted>
  } catch (error) {
    throw new FileError(`${path} does not serve inspections: no JSON came`, { file: path }, { cause: error })
  }
}
/** @throws FileError with what the machine's process says is in the way. */
function refuse({ error }: Partial<Refusal>, path: string): void {
  if (typeof error === 'string')
    throw new FileError(`the machine behind ${path} could not tell: ${error}`, { file: path })
}
function otherVersion(path: string): FileError {
  return new FileError(`${path} serves something else than inspections of this version`, { file: path })
}
