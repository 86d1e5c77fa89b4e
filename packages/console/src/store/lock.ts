/**
 * Who has a store's directory: the process that listens on the newest of its local sockets
 * `lock-1`, `lock-2`, …. The system closes a socket with its process, however that ends.
 *
 *     listen(own name) ──▶ the newest: nobody there ──▶ link(own name, the next) ──▶ no newer one?
 *                                │ somebody: busy            │ exists: again           │ one: again
 *
 * A name is made once, by one process, which listens by then, and only after the newest before it
 * was seen to be dead. So of two that start at once, one makes the next name, and the other one
 * finds it. The two newest names are never removed. Names that came while a folder was listed may
 * be missed in the list, so it is read again afterwards.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { link, open, readdir, realpath, unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { codeOf } from '../error-code.js'
import { FileError, StoreBusyError } from '../errors.js'
import { failureToConnect, MAX_PATH_BYTES } from '../inspect/socket-file.js'

const NAME = /^lock-(\d{1,15})$/
const nameOf = (generation: number) => `lock-${generation}`

/**
 * Takes the directory, which is there, for this process.
 *
 * @returns what lets it go
 * @throws StoreBusyError; FileError if no socket can be made there
 */
export async function takeLock(directory: string): Promise<() => void> {
  const server = createServer((socket) => socket.destroy()).unref()
  // Somebody who asked could not be answered, for want of descriptors: that it listens is enough.
  server.on('error', () => undefined)
  try {
    if (process.platform === 'win32') await listenOnPipe(server, directory)
    else await listenInFolder(server, directory)
  } catch (error) {
    server.close()
    if (error instanceof StoreBusyError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new FileError(`cannot take ${directory}: ${reason}`, { file: directory }, { cause: error })
  }
  return () => server.close()
}

/** The name of a pipe is of one process at a time. */
async function listenOnPipe(server: Server, directory: string): Promise<void> {
  const name = createHash('sha256')
    .update((await realpath(directory)).toLowerCase())
    .digest('hex')
  try {
    await listen(server, `\\\\.\\pipe\\percpu-store-${name}`)
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw busyError(directory)
    throw error
  }
}

async function listenInFolder(server: Server, directory: string): Promise<void> {
  const own = `.lock-${randomBytes(6).toString('hex')}`
  // Linux has a short name for each open folder.
  const isLong = Buffer.byteLength(join(directory, own)) > MAX_PATH_BYTES
  const handle = isLong && process.platform === 'linux' ? await open(directory) : undefined
  const folder = handle ? `/proc/self/fd/${handle.fd}` : directory
  if (isLong && !handle) throw new Error('its path is too long for a local socket')
  try {
    await listen(server, join(folder, own))
    try {
      while (!(await claimNext(folder, own, directory)));
    } finally {
      await unlink(join(folder, own))
    }
  } finally {
    await handle?.close()
  }
}

/**
 * Resolves with whether the newest name is the own one now; if not, others have changed the folder.
 *
 * @throws StoreBusyError
 */
async function claimNext(folder: string, own: string, directory: string): Promise<boolean> {
  const newest = Math.max(0, ...(await generations(folder)))
  if (newest > 0) {
    const failure = await failureToConnect(join(folder, nameOf(newest)))
    // A process that does not answer is alive, too.
    if (codeOf(failure) !== 'ECONNREFUSED' && codeOf(failure) !== 'ENOENT') throw busyError(directory)
  }
  const next = newest + 1
  try {
    await link(join(folder, own), join(folder, nameOf(next)))
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return false
  }
  const all = await generations(folder)
  if (all.some((generation) => generation > next)) {
    await unlink(join(folder, nameOf(next)))
    return false
  }
  for (const generation of all)
    if (generation < next - 1) await unlink(join(folder, nameOf(generation))).catch(unlessGone)
  return true
}

async function generations(folder: string): Promise<number[]> {
  return (await readdir(folder))
    .map((name) => Number(NAME.exec(name)?.[1] ?? 0))
    .filter((number) => number > 0)
}

async function listen(server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

function unlessGone(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error
}

function busyError(directory: string): StoreBusyError {
  return new StoreBusyError(`another process has ${directory}: end it first, or use another directory`, {
    directory,
  })
}
