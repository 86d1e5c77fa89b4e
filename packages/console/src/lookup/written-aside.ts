/**
 * A file that is there as a whole or not at all. What is written goes to a file of its own in the
 * same folder, which takes the name at the end. Until then the file of this name, if there is one,
 * stays as it is.
 *
 *     open ──▶ .percpu-….tmp, synced now and then ──finish: sync, rename──▶ the file
 *                    └──discard, or the process ends or gets SIGINT, SIGTERM or SIGHUP──▶ removed
 *
 * SIGKILL and a crash of the system leave the file of its own.
 */
import { randomBytes } from 'node:crypto'
import { constants, rmSync, type Stats } from 'node:fs'
import { access, open, rename, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { codeOf } from '../error-code.js'
import { writeAll, writeError, type OutputFile, type OutputSink } from './sinks.js'

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Of a file that others may not look into until it has the mode of the one that it replaces. */
const PRIVATE_MODE = 0o600
const NEW_MODE = 0o666
const MODE_BITS = 0o7777
/** Between two syncs meanwhile: so the disk writes while answers are made, and not at the end. */
const SYNC_MILLISECONDS = 100

/**
 * Begins the file, in its folder, under another name.
 *
 * @param file for messages
 * @param target the file itself, where `file` is a symbolic link
 * @param before what is there: the new file gets its mode and, if this process may give files away,
 * its owner
 * @throws FileError if it may not be written, or its folder takes no new file
 */
export async function writeAside(
  file: string,
  target: string,
  before: Stats | undefined,
): Promise<OutputSink> {
  const aside = new Aside(file, target)
  try {
    await aside.open(before)
  } catch (error) {
    await aside.discard()
    throw error
  }
  return aside
}

class Aside implements OutputSink {
  readonly #file: string
  readonly #target: string
  readonly #path: string
  #handle: FileHandle | undefined
  file: OutputFile | undefined
  #isOver = false
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  /** The system tells it only once. */
  #syncError: Error | undefined

  constructor(file: string, target: string) {
    this.#file = file
    this.#target = target
    this.#path = join(dirname(target), `.percpu-${randomBytes(6).toString('hex')}.tmp`)
    for (const signal of ENDING_SIGNALS) process.on(signal, this.#onSignal)
    process.on('exit', this.#remove)
  }

  async open(before: Stats | undefined): Promise<void> {
    try {
      // Renaming would replace a file that may not be written, too.
      if (before) await access(this.#target, constants.W_OK)
    } catch (error) {
      throw writeError(this.#file, error)
    }
    try {
      this.#handle = await open(this.#path, 'wx', before ? PRIVATE_MODE : NEW_MODE)
      this.file = { descriptor: this.#handle.fd, position: 0 }
      this.#timer = setInterval(this.#sync, SYNC_MILLISECONDS).unref()
    } catch (error) {
      throw this.#folderError(error)
    }
    try {
      if (before) await this.#takeAfter(this.#handle, before)
    } catch (error) {
      throw writeError(this.#file, error)
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      const { file } = this
      if (!this.#handle || !file) return
      await writeAll(this.#handle, bytes, file.position)
      file.position += bytes.length
    } catch (error) {
      throw writeError(this.#file, error)
    }
  }

  async finish(): Promise<void> {
    try {
      // Otherwise a crash of the system could leave the name with nothing behind it.
      await this.#settle()
      if (this.#syncError) throw this.#syncError
      await this.#handle?.sync()
      await this.#close()
    } catch (error) {
      throw writeError(this.#file, error)
    }
    try {
      await rename(this.#path, this.#target)
    } catch (error) {
      throw this.#folderError(error)
    }
    this.#end()
  }

  async discard(): Promise<void> {
    if (this.#isOver) return
    // What led here is the error to be told, not that of closing.
    await this.#close().catch(() => undefined)
    this.#remove()
    this.#end()
  }

  async #takeAfter(handle: FileHandle, before: Stats): Promise<void> {
    const { uid, gid } = await handle.stat()
    if (uid !== before.uid || gid !== before.gid) {
      // Only root may: for others the new file is theirs.
      await handle.chown(before.uid, before.gid).catch(() => undefined)
    }
    await handle.chmod(before.mode & MODE_BITS)
  }

  /** What the system cannot write, such as for want of space, is told at the end. */
  readonly #sync = (): void => {
    this.#syncing ??= this.#handle
      ?.datasync()
      .catch((error: unknown) => (this.#syncError ??= error as Error))
      .then(() => (this.#syncing = undefined))
  }
  /** Ends syncing now and then. */
  async #settle(): Promise<void> {
    clearInterval(this.#timer)
    await this.#syncing
  }

  async #close(): Promise<void> {
    await this.#settle()
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  #end(): void {
    this.#isOver = true
    for (const signal of ENDING_SIGNALS) process.off(signal, this.#onSignal)
    process.off('exit', this.#remove)
  }

  readonly #remove = (): void => {
    try {
      rmSync(this.#path, { force: true })
    } catch (error) {
      // In a folder that has become unwritable it stays: what led here is the error to be told.
      if (codeOf(error) === undefined) throw error
    }
  }

  /** Ends the process as if nobody had listened, so that its parent sees the signal. */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#remove()
    this.#end()
    process.kill(process.pid, signal)
  }

  #folderError(error: unknown): Error {
    const reason = error instanceof Error ? error.message : String(error)
    return writeError(
      this.#file,
      new Error(`${reason}; answers are written aside in its folder first: \`> FILE\` writes in place`, {
        cause: error,
      }),
    )
  }
}
