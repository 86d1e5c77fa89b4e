/**
 * The files of a store: their names, and the header that each begins with. docs/table-log.md has
 * the format byte by byte.
 *
 *     0   magic, 8 bytes │ 8   version, u32 │ 12   sequence, u64 │ 20   CRC-32 of bytes 0–19, u32
 *
 * All numbers are little-endian. `sequence` is that of the last record before a file of the log,
 * and the one as of which a snapshot is.
 */
import { crc32 } from 'node:zlib'

export const FORMAT_VERSION = 1
export const FILE_HEADER_BYTES = 24

export type FileKind = 'log' | 'snapshot'

const MAGIC: Readonly<Record<FileKind, string>> = { log: 'PCPU-LOG', snapshot: 'PCPU-SNP' }
const VERSION_AT = 8
const SEQUENCE_AT = 12
const CHECKSUM_AT = 20
/** Of `Number.MAX_SAFE_INTEGER`. */
const NAME_DIGITS = 16
const NAME = /^(log|snapshot)-(\d{16})$/
/** What is written aside has it until it is whole. */
export const ASIDE = '.tmp'

/**
 * The name of a file.
 *
 * @param number the first sequence number that a file of the log may hold; that of a snapshot
 */
export function fileName(kind: FileKind, number: number): string {
  return `${kind}-${String(number).padStart(NAME_DIGITS, '0')}`
}

/** Undefined for a name that no file of a store has. */
export function parseFileName(
  name: string,
): { readonly kind: FileKind; readonly number: number } | undefined {
  const match = NAME.exec(name)
  const number = Number(match?.[2])
  return match && Number.isSafeInteger(number) ? { kind: match[1] as FileKind, number } : undefined
}

export function encodeFileHeader(kind: FileKind, sequence: number): Buffer {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES)
  bytes.write(MAGIC[kind], 'latin1')
  bytes.writeUInt32LE(FORMAT_VERSION, VERSION_AT)
  writeSequence(bytes, sequence, SEQUENCE_AT)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CHECKSUM_AT)), CHECKSUM_AT)
  return bytes
}

/** Its sequence number, or what is wrong with it, in words. */
export function readFileHeader(bytes: Buffer, kind: FileKind): number | string {
  if (bytes.length < FILE_HEADER_BYTES) return 'the file ends within its header'
  if (bytes.readUInt32LE(CHECKSUM_AT) !== crc32(bytes.subarray(0, CHECKSUM_AT)))
    return 'the checksum of the header of the file is wrong'
  if (bytes.toString('latin1', 0, VERSION_AT) !== MAGIC[kind]) return `the file is no ${kind}`
  const version = bytes.readUInt32LE(VERSION_AT)
  if (version !== FORMAT_VERSION)
    return `the file has version ${version} of the format, and this program knows ${FORMAT_VERSION}`
  return readSequence(bytes, SEQUENCE_AT) ?? 'the sequence number in the header is too large'
}

/** In place of a BigInt, which would be made anew for each record. */
export function writeSequence(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % 2 ** 32, at)
  bytes.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

/** Undefined from 2^53 on. */
export function readSequence(bytes: Buffer, at: number): number | undefined {
  const value = bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32
  return Number.isSafeInteger(value) ? value : undefined
}
