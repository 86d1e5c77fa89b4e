/** Bodies of requests, unpacked, up to a limit. */
import type { IncomingMessage } from 'node:http'
import { codeOf } from '../error-code.js'
import { encodingOf, unpacked } from '../serve/encodings.js'
import { Refusal } from '../serve/refusal.js'

const NEWLINE = 0x0a
const decoder = new TextDecoder('utf-8', { fatal: true })
const BLANK = /^[ \t\r]*$/

/** The whole body, which is text. @throws Refusal */
export async function readText(request: IncomingMessage, limit: number): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of bodyOf(request, limit)) pieces.push(piece)
  return textOf(Buffer.concat(pieces))
}

/** Lines of a body, without blank ones, as they come. @throws Refusal */
export async function* readLines(
  request: IncomingMessage,
  limit: number,
  lineLimit: number,
): AsyncGenerator<readonly string[], undefined> {
  let rest: Uint8Array[] = []
  let restBytes = 0
  for await (const piece of bodyOf(request, limit)) {
    const end = piece.lastIndexOf(NEWLINE)
    const tail = piece.subarray(end + 1)
    if (end >= 0) {
      const text = textOf(Buffer.concat([...rest, piece.subarray(0, end)]))
      rest = []
      restBytes = 0
      const lines = text.split('\n').filter((line) => !BLANK.test(line))
      if (lines.length > 0) yield lines
    }
    rest.push(Buffer.from(tail))
    restBytes += tail.length
    if (restBytes > lineLimit)
      throw new Refusal(413, 'LINE_TOO_LONG', `a line of the body is longer than ${lineLimit} bytes`)
  }
  const last = textOf(Buffer.concat(rest))
  if (!BLANK.test(last)) yield [last]
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new Refusal(400, 'MALFORMED_BODY', 'the body holds bytes that are not UTF-8')
  }
}

async function* bodyOf(request: IncomingMessage, limit: number): AsyncGenerator<Buffer, undefined> {
  const tooLarge = (bytes: number | string) =>
    new Refusal(413, 'BODY_TOO_LARGE', `the body has ${bytes} bytes, above the limit of ${limit}`)
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > limit) throw tooLarge(declared)
  const encoding = encodingOf(request)
  const unpacking = encoding === 'identity' ? undefined : unpacked(request, encoding)
  // A request that is destroyed could not be answered any more.
  const pieces = request.iterator({ destroyOnReturn: false })
  let bytes = 0
  try {
    for await (const piece of (unpacking?.bytes ?? pieces) as AsyncIterable<Buffer>) {
      bytes += piece.length
      if (bytes > limit) throw tooLarge(`more than ${limit}`)
      yield piece
    }
  } catch (error) {
    const code = codeOf(error) ?? ''
    if (!code.startsWith('Z_') && !code.startsWith('ZSTD_')) throw error
    const message = error instanceof Error ? error.message : ''
    throw new Refusal(400, 'MALFORMED_BODY', `the body is not packed as it says: ${message}`)
  } finally {
    unpacking?.end()
  }
}
