/** Answers a batch of lines: the inner loop of every worker. */
import type { AnswerWriter } from './answer.js'
import type { BatchFormat, BatchResult } from './protocol.js'

const NEWLINE = 0x0a
const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Answers are this many times as long as their addresses, about. */
const GROWTH = 9

/**
 * Bytes of lines between two pauses: a worker's answer to its doorbell takes as long as these at
 * most, well below a millisecond.
 */
const STRETCH = 16 * 1024

/** The answers to all lines of `bytes`, in order; blank lines have none. */
export function answerBatch(
  writer: AnswerWriter,
  bytes: Uint8Array,
  format: BatchFormat,
  spare?: ArrayBuffer,
  pause: () => void = () => undefined,
): BatchResult {
  writer.begin(bytes.length * GROWTH, spare)
  let nextPause = STRETCH
  let lines = 0
  let answered = 0
  let fault: BatchResult['fault']
  for (let at = 0; at < bytes.length && !fault;) {
    if (at >= nextPause) {
      pause()
      nextPause = at + STRETCH
    }
    let lineEnd = at
    while (lineEnd < bytes.length && bytes[lineEnd] !== NEWLINE) lineEnd++
    let start = at
    let end = lineEnd
    while (start < end && (bytes[start] as number) <= SPACE) start++
    while (end > start && (bytes[end - 1] as number) <= SPACE) end--
    lines++
    at = lineEnd + 1
    if (start === end) continue
    let message: string | undefined
    if (format === 'text') writer.append(bytes, start, end)
    else message = appendString(writer, bytes, start, end)
    if (message === undefined) answered++
    else fault = { line: lines, message }
  }
  return { ...writer.end(), lines, answered, fault }
}

/** Answers the JSON string in `bytes[start, end)`; returns what is wrong with it, if it is none. */
function appendString(
  writer: AnswerWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): string | undefined {
  if (isPlainString(bytes, start, end)) {
    writer.append(bytes, start + 1, end - 1)
    return undefined
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return `not a JSON string: ${error instanceof Error ? error.message : String(error)}`
  }
  if (typeof value !== 'string') return `a JSON ${kindOf(value)}, expected a string`
  const decoded = Buffer.from(value)
  writer.append(decoded, 0, decoded.length)
  return undefined
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

/** Whether the bytes between the quotes are the string itself. */
function isPlainString(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < 2 || bytes[start] !== QUOTE || bytes[end - 1] !== QUOTE) return false
  for (let i = start + 1; i < end - 1; i++) {
    const byte = bytes[i] as number
    if (byte === BACKSLASH || byte === QUOTE || byte < SPACE) return false
  }
  return true
}
