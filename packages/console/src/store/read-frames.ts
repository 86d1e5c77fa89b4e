/** Reads the frames of a file, up to the first that does not check. */
import type { StoreFile } from './folder.js'
import { FILE_HEADER_BYTES } from './format.js'
import {
  bodyOf,
  FRAME_HEADER_BYTES,
  frameBytes,
  faultOf,
  readFrameHeader,
  type FrameHeader,
} from './frame.js'

/** Bytes read at once, if no frame is longer. */
const WINDOW_BYTES = 2 ** 20

/** Where reading ended. */
export interface FramesEnd {
  /** Bytes up to here are frames that check. */
  readonly position: number
  readonly size: number
  /** Why there is no frame at `position`, in words; undefined: the file ends there. */
  readonly fault: string | undefined
  /**
   * Whether the frame at `position` was not written to its end: the file is too short for it, or
   * the last byte that is known to belong to it, and all after that, are zeros. A frame that was
   * written to its end ends with a byte that is not zero. Mutants: store/torn-by-checksum,
   * store/torn-by-header.
   */
  readonly isTorn: boolean
}

/**
 * Gives each frame after the file's header to `visit`, which says what is wrong with it, in words,
 * if anything is. A body is a part of a larger buffer, which it keeps alive.
 */
export async function readFrames(
  file: StoreFile,
  visit: (header: FrameHeader, body: Buffer) => string | undefined,
): Promise<FramesEnd> {
  const size = await file.size()
  let position = FILE_HEADER_BYTES
  let window: Buffer = Buffer.alloc(0)
  let windowAt = position
  const end = (fault?: string, isTorn = false): FramesEnd => ({ position, size, fault, isTorn })
  const isInWindow = (length: number) => position + length <= windowAt + window.length
  /** Reads at least `length` bytes from `position`; the file has them. */
  const fill = async (length: number) => {
    window = await file.read(position, Math.min(size - position, Math.max(length, WINDOW_BYTES)))
    windowAt = position
  }
  while (position < size) {
    const left = size - position
    if (left < FRAME_HEADER_BYTES) return end('the file ends within the header of a frame', true)
    if (!isInWindow(FRAME_HEADER_BYTES)) await fill(FRAME_HEADER_BYTES)
    const header = readFrameHeader(window, position - windowAt, position)
    if (typeof header === 'string')
      return end(header, await isZero(file, position + FRAME_HEADER_BYTES - 1, size))
    const length = frameBytes(header.bodyBytes)
    if (left < length) return end('the file ends within a frame', true)
    if (!isInWindow(length)) await fill(length)
    const frame = window.subarray(position - windowAt, position - windowAt + length)
    const damage = faultOf(frame, header)
    if (damage !== undefined) return end(damage, await isZero(file, position + length - 1, size))
    const fault = visit(header, bodyOf(frame))
    if (fault !== undefined) return end(fault)
    position += length
  }
  return end()
}

/** Whether all bytes from `start` to `end` are zeros. */
async function isZero(file: StoreFile, start: number, end: number): Promise<boolean> {
  for (let at = start; at < end;) {
    const bytes = await file.read(at, Math.min(end - at, WINDOW_BYTES))
    if (bytes.some((byte) => byte !== 0)) return false
    at += bytes.length
  }
  return true
}
