/**
 * A table's file beside its file of CSV: the packed rows, read in milliseconds instead of seconds.
 *
 *     asn-ipv4.csv.percpu     CRC-32 of the rest │ bytes of rows │ rows (packed.ts) │ source: JSON
 *
 * It counts while its checksum is right, and while it was made from a file of CSV with the same
 * content, read in the same way. The content is the same if size, times and number of the file are,
 * unless it was changed just before it was read; else its hash tells. The number of its device is
 * not asked for: a container gets another one at each start.
 *
 * It is written aside and renamed. What a process that was ended in the middle of that has left is
 * removed by the next one that writes. Where the folder takes no file, it lies in the user's cache
 * folder. Nothing depends on it: what is missing, damaged or cannot be written is passed over.
 *
 * Its checksum tells of damage, not of who made it. So it has to belong to whoever reads it, to
 * root, or to the owner of the file of CSV: in a folder such as /tmp others can put files beside
 * it. Others may read it as far as they may read the file of CSV.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants, type BigIntStats } from 'node:fs'
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { crc32 } from 'node:zlib'
import { codeOf } from '../error-code.js'
import { FileError } from '../errors.js'
import { makeFolders } from '../make-folders.js'
import { columnsText, type TableFormat } from './format.js'
import type { FileRows } from './file-table.js'
import { HEADER_WORDS, layoutOf, unpack, type PackedRows } from './packed.js'
import type { Source } from './source.js'

const SUFFIX = '.percpu'
const CHECKSUM_BYTES = 4
const PREFIX_BYTES = CHECKSUM_BYTES + 8
/** Of the source. Longer ones are none. */
const MAX_SOURCE_BYTES = 64 * 1024
/** What Node reads at once. Longer rows are not kept. */
const MAX_ROWS_BYTES = 2 ** 31 - 1
/** How coarse a file system's times may be. */
const COARSE_MILLISECONDS = 2000
const PIECE_BYTES = 2 ** 20
/** Read at once to be checked. */
const CHECKED_BYTES = 2 ** 18
/** What is written aside. */
const ASIDE = /^\.percpu-table-[0-9a-f]{12}\.tmp$/
/** Nobody writes any more to what was written aside, and has not changed for so long. */
const LEFT_MILLISECONDS = 10 * 60_000

/** Rows that are kept, open. */
export interface OpenPacked {
  readonly rows: FileRows
  /** @throws FileError. */
  load(): Promise<PackedRows>
  close(): Promise<void>
}

/** The rows of a file of CSV that has been read before. Undefined: read the file itself. */
export async function readPacked(
  file: string,
  family: 4 | 6,
  format: TableFormat,
): Promise<PackedRows | undefined> {
  return takeAll(await openPacked(file, family, format), (kept) => kept.load())
}
/** Reads what is open, and closes it. Undefined if there is nothing, or it cannot be read. */
export async function takeAll<Opened extends { close(): Promise<void> }, Rows>(
  opened: Opened | undefined,
  read: (opened: Opened) => Promise<Rows>,
): Promise<Rows | undefined> {
  try {
    return opened && (await read(opened))
  } catch (error) {
    if (error instanceof FileError) return undefined
    throw error
  } finally {
    await opened?.close()
  }
}

/** The same, open. */
export async function openPacked(
  file: string,
  family: 4 | 6,
  format: TableFormat,
): Promise<OpenPacked | undefined> {
  const stats = await passingOver(() => stat(file, { bigint: true }))
  if (stats?.isFile() !== true) return undefined
  for (const path of pathsOf(file)) {
    const found = await passingOver(() => openChecked(path, stats.uid))
    if (!found) continue
    const { rows, source } = found
    const isAsked = rows.layout.family === family && source.format === formatKey(format)
    if (isAsked && (await passingOver(() => isSame(file, stats, source))) === true) return found
    await found.close()
  }
  return undefined
}

/** Keeps rows beside the file of CSV that they were read from, where that is possible. */
export async function writePacked(
  file: string,
  { stats, hash, readAt }: Source,
  format: TableFormat,
  { memory }: PackedRows,
): Promise<void> {
  if (memory.byteLength > MAX_ROWS_BYTES) return
  const mode = Number(stats.mode) & 0o666
  const source: StoredSource = { ...identityOf(stats), hash, readAt, format: formatKey(format) }
  const tail = Buffer.from(JSON.stringify(source))
  const length = Buffer.alloc(8)
  length.writeDoubleLE(memory.byteLength)
  const parts = [length, new Uint8Array(memory), tail]
  const checksum = Buffer.alloc(CHECKSUM_BYTES)
  checksum.writeUInt32LE(parts.reduce((sum, part) => crc32(part, sum), 0))
  for (const path of pathsOf(file)) {
    const isWritten = await passingOver(() => writeAside(path, mode, [checksum, ...parts]))
    if (!isWritten) continue
    await passingOver(() => removeLeft(dirname(path)))
    return
  }
}

interface Identity {
  readonly size: string
  readonly mtime: string
  readonly ctime: string
  readonly number: string
}
interface StoredSource extends Identity {
  readonly hash: string
  readonly readAt: number
  readonly format: string
}

function identityOf({ size, mtimeNs, ctimeNs, ino }: BigIntStats): Identity {
  const [mtime, ctime] = [String(mtimeNs), String(ctimeNs)]
  return { size: String(size), mtime, ctime, number: String(ino) }
}

/** What rows depend on beside the file. */
function formatKey({ columns, separator, header, encoding, multiline, overlap }: TableFormat): string {
  return JSON.stringify([columnsText(columns), separator, header, encoding, multiline, overlap])
}

async function isSame(file: string, stats: BigIntStats, source: StoredSource): Promise<boolean> {
  const now = identityOf(stats)
  if (now.size !== source.size) return false
  const isSettled = Number(stats.ctimeNs / 1_000_000n) < source.readAt - COARSE_MILLISECONDS
  const keys = ['mtime', 'ctime', 'number'] as const
  if (isSettled && keys.every((key) => now[key] === source[key])) return true
  const sum = createHash('sha256')
  const handle = await open(file)
  for await (const piece of handle.createReadStream({ highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>)
    sum.update(piece)
  return sum.digest('hex') === source.hash
}

/** Beside the file, and in the cache folder, if there is one. */
function pathsOf(file: string): string[] {
  const absolute = resolve(file)
  const cache = cacheFolder()
  const name = createHash('sha256').update(absolute).digest('hex').slice(0, 32)
  const others = cache === undefined ? [] : [join(cache, 'percpu', `${name}${SUFFIX}`)]
  return [`${absolute}${SUFFIX}`, ...others]
}
function cacheFolder(): string | undefined {
  const given = process.env['XDG_CACHE_HOME']
  if (given !== undefined && isAbsolute(given)) return given
  try {
    return join(homedir(), '.cache')
  } catch (error) {
    // A user without a name has no folder.
    if (codeOf(error) === undefined) throw error
    return undefined
  }
}

/** `owner`: of the file of CSV. */
async function openChecked(
  path: string,
  owner: bigint,
): Promise<(OpenPacked & { readonly source: StoredSource }) | undefined> {
  // It may be a named pipe, which nobody writes.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  let isKept = false
  try {
    const stats = await handle.stat()
    const { size } = stats
    if (!stats.isFile() || size < PREFIX_BYTES) return undefined
    if (![0, process.geteuid?.() ?? stats.uid, Number(owner)].includes(stats.uid)) return undefined
    const prefix = await readBytes(handle, 0, PREFIX_BYTES)
    const length = prefix.readDoubleLE(CHECKSUM_BYTES)
    const tail = size - PREFIX_BYTES - length
    if (!Number.isSafeInteger(length) || length < HEADER_WORDS * 4 || length > MAX_ROWS_BYTES)
      return undefined
    if (tail < 0 || tail > MAX_SOURCE_BYTES) return undefined
    if ((await checksumBehind(handle, size)) !== prefix.readUInt32LE(0)) return undefined
    const header = Uint8Array.from(await readBytes(handle, PREFIX_BYTES, HEADER_WORDS * 4))
    const text = await readBytes(handle, PREFIX_BYTES + length, tail)
    // It may have become shorter since it was checked.
    const isWhole = header.length === HEADER_WORDS * 4 && text.length === tail
    const layout = isWhole ? layoutOf(new Int32Array(header.buffer), length) : undefined
    if (!layout) return undefined
    const source = JSON.parse(text.toString()) as StoredSource
    isKept = true
    return {
      rows: { path, descriptor: handle.fd, position: PREFIX_BYTES, layout },
      source,
      load: () => load(handle, path, length),
      close: () => handle.close(),
    }
  } finally {
    if (!isKept) await handle.close()
  }
}

/** Of all that lies behind the checksum; undefined if that is less than it should be. */
async function checksumBehind(handle: FileHandle, size: number): Promise<number | undefined> {
  // The same memory again and again: new memory costs more than what is read into it.
  const piece = Buffer.allocUnsafeSlow(Math.min(size, CHECKED_BYTES))
  let checksum = 0
  for (let at = CHECKSUM_BYTES; at < size;) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, size - at), at)
    if (bytesRead === 0) return undefined
    checksum = crc32(piece.subarray(0, bytesRead), checksum)
    at += bytesRead
  }
  return checksum
}

async function load(handle: FileHandle, path: string, length: number): Promise<PackedRows> {
  const memory = new SharedArrayBuffer(length)
  try {
    const read = await readAll(handle, new Uint8Array(memory), PREFIX_BYTES)
    const rows = read === length ? unpack(memory) : undefined
    if (rows) return rows
  } catch (error) {
    throw new FileError(`cannot read ${path}: ${String(error)}`, { file: path }, { cause: error })
  }
  throw new FileError(`cannot read ${path}: it has become shorter`, { file: path })
}

async function readBytes(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, await readAll(handle, bytes, position))
}

async function readAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<number> {
  let at = 0
  while (at < bytes.length) {
    const { bytesRead } = await handle.read(bytes, at, bytes.length - at, position + at)
    if (bytesRead === 0) break
    at += bytesRead
  }
  return at
}

async function writeAside(path: string, mode: number, parts: readonly Uint8Array[]): Promise<true> {
  await makeFolders(dirname(path))
  const aside = join(dirname(path), `.percpu-table-${randomBytes(6).toString('hex')}.tmp`)
  try {
    const handle = await open(aside, 'wx', mode)
    try {
      for (const part of parts) await handle.writeFile(part)
    } finally {
      await handle.close()
    }
    await rename(aside, path)
    return true
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}

async function removeLeft(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!ASIDE.test(name)) continue
    const path = join(folder, name)
    const { mtimeMs } = await stat(path)
    if (mtimeMs < Date.now() - LEFT_MILLISECONDS) await rm(path, { force: true })
  }
}

/** What the system refuses is no reason to stop. */
async function passingOver<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await work()
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return undefined
  }
}
