/** The byte-order mark of UTF-8, which some programs write at the beginning. */
import type { FileHandle } from 'node:fs/promises'

const MARK = [0xef, 0xbb, 0xbf]

/** Whether a file begins with a mark. */
export async function hasMark(handle: FileHandle): Promise<boolean> {
  const first = Buffer.alloc(MARK.length)
  await handle.read(first, 0, first.length, 0)
  return first.equals(Uint8Array.from(MARK))
}

/** All pieces, without a mark at their beginning. A piece may be any part of it. */
export async function* withoutMark(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  /** Bytes of the mark that have come; -1: it is over. */
  let seen = 0
  for await (const piece of input) {
    if (seen < 0) {
      yield piece
      continue
    }
    let at = 0
    while (at < piece.length && seen < MARK.length && piece[at] === MARK[seen]) {
      at++
      seen++
    }
    if (at === piece.length && seen < MARK.length) continue
    // What began like a mark was none.
    if (seen < MARK.length && seen > at) yield Uint8Array.from(MARK.slice(0, seen - at))
    yield seen < MARK.length ? piece : piece.subarray(at)
    seen = -1
  }
  if (seen > 0 && seen < MARK.length) yield Uint8Array.from(MARK.slice(0, seen))
}
