/**
 * What a store asks of the disk: files of one folder, each operation on its own, so that tests can
 * stop after any of them. Names are those of files in the folder.
 */
import { open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { codeOf } from '../error-code.js'
import { makeFolders } from '../make-folders.js'

export interface StoreFolder {
  /** As messages name it. */
  readonly path: string
  list(): Promise<readonly string[]>
  open(name: string, mode: 'read' | 'write'): Promise<StoreFile>
  /** Makes the file, or empties it. */
  create(name: string): Promise<StoreFile>
  /** In place of a file that has the name. */
  rename(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  /** Which names there are is on the disk then. */
  sync(): Promise<void>
}

export interface StoreFile {
  size(): Promise<number>
  /** Exactly so many bytes; the file has them. */
  read(position: number, length: number): Promise<Buffer>
  write(bytes: Uint8Array, position: number): Promise<void>
  truncate(length: number): Promise<void>
  /** What the file holds, and how long it is, is on the disk then. */
  sync(): Promise<void>
  close(): Promise<void>
}

export type Operation =
  'list' | 'open' | 'read' | 'create' | 'write' | 'truncate' | 'rename' | 'remove' | 'sync' | 'close'

/** The system refused an operation, or could not do it. */
export class DiskError extends Error {
  readonly operation: Operation
  /** Path of the file, or of the folder. */
  readonly file: string

  constructor(operation: Operation, file: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`cannot ${operation} ${file}: ${reason}`, { cause })
    this.operation = operation
    this.file = file
  }

  /**
   * What the disk has: `unchanged`, what it had; `full`, the same, and there was no room; `unknown`
   * after a failed sync, whatever its reason, and after a write that failed otherwise. Mutant:
   * store/full-sync.
   */
  get outcome(): 'unchanged' | 'full' | 'unknown' {
    const code = codeOf(this.cause)
    if (GROWING.has(this.operation) && code !== undefined && FULL.has(code)) return 'full'
    return HARMLESS.has(this.operation) ? 'unchanged' : 'unknown'
  }
}

const HARMLESS: ReadonlySet<Operation> = new Set(['list', 'open', 'read', 'create'])
const GROWING: ReadonlySet<Operation> = new Set(['create', 'write', 'rename'])
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** The folder at `path`; it is made if it is missing, with those above it. */
export async function makeFolder(path: string): Promise<StoreFolder> {
  const absolute = resolve(path)
  const first = await attempt('create', path, () => makeFolders(absolute))
  // Each new folder is in the one above it only when that is synced.
  for (let made = absolute; first !== undefined && made.length >= first.length; made = dirname(made))
    await syncFolder(dirname(made))
  return folderAt(path)
}

/** The folder at `path`, which is there. */
export function folderAt(path: string): StoreFolder {
  const at = (name: string) => join(path, name)
  return {
    path,
    list: () => attempt('list', path, () => readdir(path)),
    open: async (name, mode) =>
      new NodeFile(at(name), await attempt('open', at(name), () => open(at(name), FLAGS[mode]))),
    create: async (name) =>
      new NodeFile(at(name), await attempt('create', at(name), () => open(at(name), 'w+'))),
    rename: (from, to) => attempt('rename', at(from), () => rename(at(from), at(to))),
    remove: (name) => attempt('remove', at(name), () => unlink(at(name))),
    sync: () => syncFolder(path),
  }
}

const FLAGS = { read: 'r', write: 'r+' } as const

class NodeFile implements StoreFile {
  readonly #path: string
  readonly #handle: FileHandle

  constructor(path: string, handle: FileHandle) {
    this.#path = path
    this.#handle = handle
  }

  async size(): Promise<number> {
    return (await attempt('read', this.#path, () => this.#handle.stat())).size
  }

  read(position: number, length: number): Promise<Buffer> {
    return attempt('read', this.#path, async () => {
      const bytes = Buffer.allocUnsafe(length)
      for (let at = 0; at < length;) {
        const { bytesRead } = await this.#handle.read(bytes, at, length - at, position + at)
        if (bytesRead === 0) throw new Error('the file became shorter while it was read')
        at += bytesRead
      }
      return bytes
    })
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return attempt('write', this.#path, async () => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(bytes, at, bytes.length - at, position + at)
        at += bytesWritten
      }
    })
  }

  truncate(length: number): Promise<void> {
    return attempt('truncate', this.#path, () => this.#handle.truncate(length))
  }

  sync(): Promise<void> {
    return attempt('sync', this.#path, () => this.#handle.datasync())
  }

  close(): Promise<void> {
    return attempt('close', this.#path, () => this.#handle.close())
  }
}

async function syncFolder(path: string): Promise<void> {
  // Windows has no way to do it.
  if (process.platform === 'win32') return
  await attempt('sync', path, async () => {
    const handle = await open(path)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  })
}

async function attempt<Value>(
  operation: Operation,
  file: string,
  work: () => Promise<Value>,
): Promise<Value> {
  try {
    return await work()
  } catch (error) {
    throw new DiskError(operation, file, error)
  }
}
