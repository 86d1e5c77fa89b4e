/** Writes a snapshot: frames of some 64 KiB of entries each, and one that tells their number. */
import { ArgumentError } from 'percpu'
import { AbortedError } from '../errors.js'
import type { StoreFile } from './folder.js'
import { encodeFileHeader, FILE_HEADER_BYTES } from './format.js'
import { encodeEnd, encodeEntries, entryBytes, MAX_BODY_BYTES } from './frame.js'

/** Bytes of entries in a frame, from which it is written. */
const BLOCK_BYTES = 2 ** 16

/**
 * Resolves with the bytes written.
 *
 * @param isEnded asked before each frame: whether nobody wants it any more
 * @throws DiskError; ArgumentError for an entry of more than 128 MiB; AbortedError if it `isEnded`;
 * and what `entries` throws
 */
export async function writeSnapshotFile(
  file: StoreFile,
  sequence: number,
  entries: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  isEnded: () => boolean,
): Promise<number> {
  let position = FILE_HEADER_BYTES
  let count = 0
  let block: Uint8Array[] = []
  let blockBytes = 0
  const write = async (frame: Buffer) => {
    if (isEnded()) throw new AbortedError('the snapshot was given up: the store is being closed')
    await file.write(frame, position)
    position += frame.length
  }
  await file.write(encodeFileHeader('snapshot', sequence), 0)
  for await (const entry of entries) {
    const bytes = entryBytes(entry)
    if (bytes > MAX_BODY_BYTES / 2)
      throw new ArgumentError(`an entry of ${bytes} bytes: at most ${MAX_BODY_BYTES / 2}`, { bytes })
    block.push(entry)
    blockBytes += bytes
    count++
    if (blockBytes < BLOCK_BYTES) continue
    await write(encodeEntries(block, position))
    block = []
    blockBytes = 0
  }
  if (block.length > 0) await write(encodeEntries(block, position))
  await write(encodeEnd(count, position))
  return position
}
