/**
 * The file of a local socket. It is made where nothing is, or in place of a socket on which nobody
 * listens any more. It is removed only while it is the file that was made.
 *
 *     listen(own name) ──▶ link(own name, path) ──▶ unlink(own name)
 *                               │ exists: removed if it is a dead socket, and tried again;
 *                               │ refused otherwise
 *
 * `link` never replaces anything. The server is bound to a name of its own because Node unlinks the
 * name that a server was bound to when it closes, whatever is there by then.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, lstatSync, unlinkSync, type BigIntStats } from 'node:fs'
import { link, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { codeOf } from '../error-code.js'

/**
 * Bytes that a socket's path may have: `sun_path` without its last byte. A longer one would be cut.
 */
export const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103
/** Others may put sockets there that die at once; nobody does that more often. */
const ATTEMPTS = 3

/**
 * Has the server listen at `path`: a file, or the name of a pipe on Windows.
 *
 * @returns what removes the file, if it is still the one that was made here; call it while the
 * server still listens
 * @throws Error with the reason, if the path cannot be had. What is there stays, and the server
 * does not listen.
 */
export async function listenAt(server: Server, path: string): Promise<() => void> {
  // Pipes of Windows and Linux' abstract names are no files: nothing is replaced, and nothing
  // stays.
  if (process.platform === 'win32' || path.startsWith('\0')) {
    await listen(server, path)
    return () => undefined
  }
  const own = siblingOf(path)
  for (const name of [path, own])
    if (Buffer.byteLength(name) > MAX_PATH_BYTES)
      throw new Error(`it is longer than the ${MAX_PATH_BYTES} bytes that a socket's path may have`)
  try {
    await listen(server, own)
  } catch (error) {
    const folder = dirname(path)
    // Node gives EACCES for a folder that is not there, too.
    if (!existsSync(folder)) throw new Error(`the folder ${folder} does not exist`, { cause: error })
    throw new Error(`no socket can be made in ${folder}: ${codeOf(error) ?? String(error)}`, { cause: error })
  }
  try {
    await place(own, path)
  } catch (error) {
    server.close()
    throw error
  }
  return removerOf(resolve(path))
}

async function listen(server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

/**
 * A name that nobody else has, in the folder of `path`; as long as its name, if that is possible,
 * so that it fits as well.
 */
function siblingOf(path: string): string {
  const length = Math.max(12, basename(path).length - 1)
  return join(dirname(path), `.${randomBytes(length).toString('hex').slice(0, length)}`)
}

/** Gives the socket its final name, once nothing has it. */
async function place(own: string, path: string): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      await link(own, path)
      await unlink(own)
      return
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
    await removeDead(path)
  }
  throw new Error('other processes make sockets there')
}

/** @throws Error if something else is there than a socket on which nobody listens. */
async function removeDead(path: string): Promise<void> {
  const found = look(path)
  if (found === undefined) return
  if (!found.isSocket()) throw new Error('it exists and is no socket')
  const failure = await failureToConnect(path)
  if (failure === undefined) throw new Error('a process serves there already')
  const code = codeOf(failure)
  if (code === 'ENOENT') return
  if (code !== 'ECONNREFUSED')
    throw new Error(
      `a socket is there, and whether a process serves it cannot be told: ${code ?? failure.message}`,
    )
  // In one stretch: somebody else may have put another one there since it was looked at.
  if (isSame(look(path), found)) unlinkSync(path)
}

/** Undefined: somebody listens there. */
export async function failureToConnect(path: string): Promise<Error | undefined> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  } finally {
    socket.destroy()
  }
}

/** Also at the end of a process that does not close its server. */
function removerOf(path: string): () => void {
  const own = look(path)
  const remove = () => {
    process.off('exit', remove)
    // A path that cannot be looked at or removed any more is left: as a dead socket it is replaced
    // by the next process.
    try {
      if (own && isSame(look(path), own)) unlinkSync(path)
    } catch (error) {
      if (codeOf(error) === undefined) throw error
    }
  }
  process.once('exit', remove)
  return remove
}

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })
}

/**
 * Whether they are of one file. One that came after the other may have its number, but was made
 * later.
 */
function isSame(now: BigIntStats | undefined, before: BigIntStats): boolean {
  return now?.dev === before.dev && now.ino === before.ino && now.birthtimeNs === before.birthtimeNs
}
