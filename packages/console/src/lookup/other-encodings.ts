/** Input that is no text in UTF-8, told by its first bytes: its lines would be nonsense. */
import type { FileHandle } from 'node:fs/promises'
import { MalformedInputError } from '../errors.js'

const UTF16 = 'is written in UTF-16: write it in UTF-8'
/** No text in UTF-8 has these bytes at its beginning, but for controls that no line needs. */
const encodings: readonly (readonly [first: number, second: number, message: string])[] = [
  [0x1f, 0x8b, 'is packed with gzip: give percpu lookup what `gunzip -c` makes of it'],
  [0xff, 0xfe, UTF16],
  [0xfe, 0xff, UTF16],
]
const FIRST_BYTES = 2

function refuse(input: string, bytes: Uint8Array): void {
  const found = encodings.find(([first, second]) => bytes[0] === first && bytes[1] === second)
  if (found) throw new MalformedInputError(`${input} ${found[2]}`, { file: input })
}

/** @throws MalformedInputError if the file is no text in UTF-8; what reading throws */
export async function checkEncoding(handle: FileHandle, input: string): Promise<void> {
  const first = Buffer.alloc(FIRST_BYTES)
  await handle.read(first, 0, first.length, 0)
  refuse(input, first)
}

/**
 * All pieces of an input, which is read no further if it is no text in UTF-8.
 *
 * @throws MalformedInputError; what `pieces` throws
 */
export async function* inUtf8(input: string, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let first: Uint8Array = new Uint8Array(0)
  for await (const piece of pieces) {
    if (first.length < FIRST_BYTES) {
      first = Buffer.concat([first, piece.subarray(0, FIRST_BYTES - first.length)])
      refuse(input, first)
    }
    yield piece
  }
}
