/** A part of a file of addresses: the lines that begin in it, whole. */
import { readSync, writeSync } from 'node:fs'
import { MalformedInputError } from '../errors.js'
import { MAX_LINE_BYTES } from './split.js'

const NEWLINE = 0x0a

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
 * @throws MalformedInputError if the last line goes on for more than {@link MAX_LINE_BYTES} behind
 *   the part; what reading throws
 */
export function readPart({ input, from, to }: FilePart): Uint8Array {
  // A line begins behind the end of another one.
  const start = Math.max(0, from - 1)
  const wanted = to + MAX_LINE_BYTES - start
  const bytes = Buffer.allocUnsafeSlow(wanted)
  let length = 0
  for (let read = -1; length < wanted && read !== 0; length += read)
    read = readSync(input, bytes, length, wanted - length, start + length)
  const read = bytes.subarray(0, length)
  const begin = from === 0 ? 0 : behindLine(read, 0)
  // The last byte of the part belongs to its last line.
  const last = to - start - 1
  if (begin > last || begin >= length) return new Uint8Array(0)
  const end = behindLine(read, last)
  if (length === wanted && end === length && read[end - 1] !== NEWLINE) throw tooLong(start, read, last)
  return read.subarray(begin, end)
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
