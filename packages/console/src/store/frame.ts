/**
 * Frames: what the files of a store consist of after their header. One append is one frame, so that
 * all of its records are there or none.
 *
 *     0   kind, u32             8    position in the file, u64     20   CRC-32 of the body, u32
 *     4   bytes of body, u32    16   items in the body, u32        24   CRC-32 of bytes 0–23, u32
 *     28  body, then the mark A5 5A A5 5A
 *
 * The header has a checksum of its own: a flipped bit in a length is not taken for a frame that was
 * not written to its end. The mark at the end is not zero: a frame that ends in zeros was not
 * written to its end. Mutant: store/header-unchecked.
 */
import { crc32 } from 'node:zlib'
import { readSequence, writeSequence } from './format.js'

/** Numbered changes, in the log. */
export const RECORDS = 1
/** Entries, in a snapshot. */
export const ENTRIES = 2
/** The last frame of a snapshot: the number of its entries. */
export const END = 3

/** One change. */
export interface LogRecord {
  /** 1 to 2^53-1; greater than that of the record before, not always by one. */
  readonly sequence: number
  readonly payload: Uint8Array
}

export const FRAME_HEADER_BYTES = 28
/** Bytes that a frame may have in its body. */
export const MAX_BODY_BYTES = 2 ** 28
const POSITION_AT = 8
const COUNT_AT = 16
const BODY_CHECKSUM_AT = 20
const CHECKSUM_AT = 24
const MARK = 0x5aa55aa5
const MARK_BYTES = 4
/** Before each payload in the log: its sequence number and its length. */
const RECORD_PREFIX_BYTES = 12
/** Before each entry of a snapshot: its length. */
const ENTRY_PREFIX_BYTES = 4
const END_BYTES = 8

export interface FrameHeader {
  readonly kind: number
  readonly bodyBytes: number
  readonly count: number
  readonly bodyChecksum: number
}

/** Bytes of a whole frame. */
export function frameBytes(bodyBytes: number): number {
  return FRAME_HEADER_BYTES + bodyBytes + MARK_BYTES
}

/** What a record adds to the body of a frame. */
export function recordBytes(payload: Uint8Array): number {
  return RECORD_PREFIX_BYTES + payload.length
}
/** What an entry adds to the body of a frame. */
export function entryBytes(payload: Uint8Array): number {
  return ENTRY_PREFIX_BYTES + payload.length
}

export function encodeRecords(records: readonly LogRecord[], position: number): Buffer {
  const bodyBytes = records.reduce((sum, { payload }) => sum + recordBytes(payload), 0)
  return encode(RECORDS, records.length, bodyBytes, position, (body) => {
    let at = 0
    for (const { sequence, payload } of records) {
      writeSequence(body, sequence, at)
      body.writeUInt32LE(payload.length, at + 8)
      body.set(payload, at + RECORD_PREFIX_BYTES)
      at += recordBytes(payload)
    }
  })
}

export function encodeEntries(entries: readonly Uint8Array[], position: number): Buffer {
  const bodyBytes = entries.reduce((sum, entry) => sum + entryBytes(entry), 0)
  return encode(ENTRIES, entries.length, bodyBytes, position, (body) => {
    let at = 0
    for (const entry of entries) {
      body.writeUInt32LE(entry.length, at)
      body.set(entry, at + ENTRY_PREFIX_BYTES)
      at += entryBytes(entry)
    }
  })
}

export function encodeEnd(entries: number, position: number): Buffer {
  return encode(END, 1, END_BYTES, position, (body) => writeSequence(body, entries, 0))
}

function encode(
  kind: number,
  count: number,
  bodyBytes: number,
  position: number,
  fill: (body: Buffer) => void,
): Buffer {
  const frame = Buffer.allocUnsafe(frameBytes(bodyBytes))
  const body = bodyOf(frame)
  fill(body)
  frame.writeUInt32LE(kind, 0)
  frame.writeUInt32LE(bodyBytes, 4)
  writeSequence(frame, position, POSITION_AT)
  frame.writeUInt32LE(count, COUNT_AT)
  frame.writeUInt32LE(crc32(body), BODY_CHECKSUM_AT)
  frame.writeUInt32LE(crc32(frame.subarray(0, CHECKSUM_AT)), CHECKSUM_AT)
  frame.writeUInt32LE(MARK, frame.length - MARK_BYTES)
  return frame
}

/** The header of the frame at `position` of its file, or what is wrong with it, in words. */
export function readFrameHeader(bytes: Buffer, at: number, position: number): FrameHeader | string {
  if (bytes.readUInt32LE(at + CHECKSUM_AT) !== crc32(bytes.subarray(at, at + CHECKSUM_AT)))
    return 'the checksum of the header of a frame is wrong'
  if (readSequence(bytes, at + POSITION_AT) !== position) return 'a frame is not where it was written'
  const bodyBytes = bytes.readUInt32LE(at + 4)
  if (bodyBytes > MAX_BODY_BYTES) return 'a frame is longer than any may be'
  return {
    kind: bytes.readUInt32LE(at),
    bodyBytes,
    count: bytes.readUInt32LE(at + COUNT_AT),
    bodyChecksum: bytes.readUInt32LE(at + BODY_CHECKSUM_AT),
  }
}

/** What is wrong with a whole frame whose header is right; undefined: nothing. */
export function faultOf(frame: Buffer, header: FrameHeader): string | undefined {
  if (frame.readUInt32LE(frame.length - MARK_BYTES) !== MARK) return 'the mark at the end of a frame is wrong'
  return crc32(bodyOf(frame)) === header.bodyChecksum ? undefined : 'the checksum of a frame is wrong'
}

export function bodyOf(frame: Buffer): Buffer {
  return frame.subarray(FRAME_HEADER_BYTES, frame.length - MARK_BYTES)
}

/**
 * Gives each record of a frame to `visit`.
 *
 * @param after the sequence number of the record before
 * @returns the sequence number of the last one, or what is wrong, in words
 */
export function readRecords(
  body: Buffer,
  count: number,
  after: number,
  visit: (record: LogRecord) => void,
): number | string {
  let at = 0
  let last = after
  for (let i = 0; i < count; i++) {
    if (at + RECORD_PREFIX_BYTES > body.length) return 'a frame has fewer records than it says'
    const sequence = readSequence(body, at)
    if (sequence === undefined || sequence <= last) return 'sequence numbers do not ascend'
    const start = at + RECORD_PREFIX_BYTES
    at = start + body.readUInt32LE(at + 8)
    if (at > body.length) return 'a record is longer than its frame'
    visit({ sequence, payload: body.subarray(start, at) })
    last = sequence
  }
  return at === body.length ? last : 'a frame has more bytes than its records'
}

/** Gives each entry of a frame to `visit`. Returns what is wrong; undefined: nothing. */
export function readEntries(
  body: Buffer,
  count: number,
  visit: (entry: Uint8Array) => void,
): string | undefined {
  let at = 0
  for (let i = 0; i < count; i++) {
    const start = at + ENTRY_PREFIX_BYTES
    if (start > body.length) return 'a frame has fewer entries than it says'
    at = start + body.readUInt32LE(at)
    if (at > body.length) return 'an entry is longer than its frame'
    visit(body.subarray(start, at))
  }
  return at === body.length ? undefined : 'a frame has more bytes than its entries'
}

/** The number of entries that the last frame of a snapshot tells; undefined if it tells none. */
export function readEnd(body: Buffer): number | undefined {
  return body.length === END_BYTES ? readSequence(body, 0) : undefined
}
