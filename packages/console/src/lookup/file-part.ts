/** A part of a file of addresses: the lines that begin in it, whole. */
import { readSync, writeSync } from 'node:fs'
import { MalformedInputError } from '../errors.js'
import { MAX_LINE_BYTES } from './split.js'

const NEWLINE = 0x0a

/** What is read behind a part at first: most lines that begin in it end there. */
const BEHIND_BYTES = 256

/** Memory to read into, used again and again: new memory costs more than what is read into it. */
export class Room {
  #bytes = Buffer.alloc(0)

  /** At least so many bytes, with what was in the first `kept` of them. */
  take(length: number, kept = 0): Buffer {
    if (this.#bytes.length < length) {
      const bytes = Buffer.allocUnsafeSlow(length)
      this.#bytes.copy(bytes, 0, 0, kept)
      this.#bytes = bytes
    }
    return this.#bytes
  }
}

/** Parts follow each other: each begins where the one before ends. */
export interface FilePart {
  /** Descriptor of the file, which is no pipe. */
  readonly input: number
  /** Bytes of the file. */
  readonly from: number
  readonly to: number
}

/**
 * Reads the lines that begin in a part: the last one to its end, which may lie behind the part. Of
 * a file that has become shorter meanwhile, what is left.
 *
 * @param room what is returned lies there, until something else is read into it
 * @throws MalformedInputError if the last line goes on for more than {@link MAX_LINE_BYTES} behind
 *   the part; what reading throws
 */
export function readPart({ input, from, to }: FilePart, room = new Room()): Uint8Array {
  // A line begins behind the end of another one.
  const start = Math.max(0, from - 1)
  // The last byte of the part belongs to its last line.
  const last = to - start - 1
  let wanted = last + 1 + BEHIND_BYTES
  let read = readBytes(input, start, room.take(wanted).subarray(0, wanted), 0)
  if (read.length === wanted && read.indexOf(NEWLINE, last) < 0) {
    wanted = last + 1 + MAX_LINE_BYTES
    read = readBytes(input, start, room.take(wanted, read.length).subarray(0, wanted), read.length)
  }
  const { length } = read
  const begin = from === 0 ? 0 : behindLine(read, 0)
  if (begin > last || begin >= length) return new Uint8Array(0)
  const end = behindLine(read, last)
  if (length === wanted && end === length && read[end - 1] !== NEWLINE) throw tooLong(start, read, last)
  return read.subarray(begin, end)
}

/** Fills `bytes` from `begin` on with what lies in the file behind `start`, as far as it goes. */
function readBytes(input: number, start: number, bytes: Uint8Array, begin: number): Uint8Array {
  let length = begin
  for (let read = -1; length < bytes.length && read !== 0; length += read)
    read = readSync(input, bytes, length, bytes.length - length, start + length)
  return bytes.subarray(0, length)
}

/** Where the line ends in which `at` is, with its end. */
function behindLine(bytes: Uint8Array, at: number): number {
  const newline = bytes.indexOf(NEWLINE, at)
  return newline < 0 ? bytes.length : newline + 1
}

function tooLong(start: number, bytes: Uint8Array, at: number): MalformedInputError {
  const position = start + (at === 0 ? 0 : bytes.lastIndexOf(NEWLINE, at - 1) + 1)
  return new MalformedInputError(
    `the line that begins at byte ${position} is longer than ${MAX_LINE_BYTES} bytes: expected one address a line`,
    { position },
  )
}

/** Writes all of `bytes` at a place of a file. @throws what writing throws */
export function writeAt(output: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length;) at += writeSync(output, bytes, at, bytes.length - at, position + at)
}
