/** The bytes of a table's file: what it is, unpacked, and whether it changed meanwhile. */
import { createHash } from 'node:crypto'
import { constants, open as openFile, type BigIntStats } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { createGunzip } from 'node:zlib'

const PIECE_BYTES = 1 << 18
const GZIP = Buffer.from([0x1f, 0x8b])

export type Pieces = AsyncIterable<Buffer>

/** A file that was read, and did not change meanwhile. */
export interface Source {
  readonly stats: BigIntStats
  /** SHA-256 of its bytes, in hex. */
  readonly hash: string
  /** When reading it began: ms since 1970. */
  readonly readAt: number
}
/** What `withSource` has read: a file; `changed` one that was changed; `other` is no plain file. */
export type WhatWasRead = Source | 'changed' | 'other'

/**
 * Has `read` take the file's bytes: those within, if it is packed with gzip.
 *
 * @param onBytes told how many bytes of the file itself have been read, now and then
 */
export async function withSource(
  file: string,
  onBytes: (bytes: number) => void,
  read: (pieces: Pieces) => Promise<void>,
): Promise<WhatWasRead> {
  const readAt = Date.now()
  const sum = createHash('sha256')
  const onPiece = (piece: Buffer) => {
    sum.update(piece)
    onBytes(piece.length)
  }
  const unpacked = (stream: Readable) => read(unpack(watched(stream, onPiece)))
  if ((await stat(file)).isFIFO()) {
    await withPipe(file, unpacked)
    return 'other'
  }
  const handle = await open(file)
  try {
    const stats = await handle.stat({ bigint: true })
    await unpacked(handle.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false }))
    if (!stats.isFile()) return 'other'
    const isOther = isChanged(await handle.stat({ bigint: true }), stats)
    return isOther ? 'changed' : { stats, hash: sum.digest('hex'), readAt }
  } finally {
    await handle.close()
  }
}

/**
 * A named pipe, whose writer may come late or never. Neither opening nor reading it blocks a thread
 * here, so that a loader can be ended meanwhile.
 */
async function withPipe(file: string, read: (bytes: Readable) => Promise<void>): Promise<void> {
  const fd = await promisify(openFile)(file, constants.O_RDONLY | constants.O_NONBLOCK)
  const stream = new Socket({ fd, readable: true, writable: false })
  try {
    await read(stream)
  } finally {
    stream.destroy()
  }
}

function isChanged(now: BigIntStats, before: BigIntStats): boolean {
  return now.size !== before.size || now.mtimeNs !== before.mtimeNs
}

async function* watched(stream: Readable, onPiece: (piece: Buffer) => void): AsyncGenerator<Buffer> {
  for await (const piece of stream as AsyncIterable<Buffer>) {
    onPiece(piece)
    yield piece
  }
}

/** Told by its first bytes, whatever its name. */
async function* unpack(pieces: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0)
  while (head.length < GZIP.length) {
    const next = await pieces.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  const whole = chain(head, pieces)
  if (!head.subarray(0, GZIP.length).equals(GZIP)) yield* whole
  // What fails on either side is thrown where the bytes are read.
  else yield* pipeline(Readable.from(whole), createGunzip(), () => undefined) as AsyncIterable<Buffer>
}

async function* chain(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head
  yield* rest
}
