/**
 * What the keys of a table are: how they are read from text and JSON, written, and kept as bytes.
 *
 *     text      any text of 1 to 255 bytes of UTF-8, without NUL; in the order of those bytes
 *     number    whole numbers from 0 to 2^53 - 1
 *     address   IPv4 and IPv6 addresses; IPv4 lies where IPv6 has ::ffff:0:0/96 (RFC 4291)
 */
import { explainBadAddress, parseAddress, shorten } from '../address/parse.js'
import { writeIpv4, writeIpv6 } from '../address/format.js'

export type KeyKind = 'text' | 'number' | 'address'
export type Key = Uint8Array | number | bigint

/** Both ends belong to it. A single key is the range from itself to itself. */
export interface KeyRange {
  readonly from: Key
  readonly to: Key
}

/** Most bytes of a key of text: what a map of ranges takes. */
export const MAX_KEY_BYTES = 255
const MAX_ADDRESS = 2n ** 128n - 1n

/** Why something is no key; in words that follow it. */
export class BadKey {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

export interface KeyCodec {
  readonly kind: KeyKind
  /** What a map of ranges calls them. */
  readonly mapKind: 'bytes' | 'u53' | 'u128'
  /** From a part of a URL, or a cell of CSV. */
  readonly parse: (text: string) => Key | BadKey
  /** From JSON. */
  readonly fromJson: (value: unknown) => Key | BadKey
  /** As it stands in JSON. */
  readonly toJson: (key: Key) => string | number
  /** As bytes, at most {@link MAX_KEY_BYTES}; two keys have the order of their bytes. */
  readonly encode: (key: Key) => Uint8Array
  /** Undefined for bytes that {@link encode} does not give. */
  readonly decode: (bytes: Uint8Array) => Key | undefined
  readonly compare: (one: Key, other: Key) => number
}

const NOT_TEXT = 'is not text'
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** In UTF-8. Part of a larger buffer: one of its own takes several times the memory. */
function encoded(value: string): Uint8Array {
  const { buffer, byteOffset, length } = Buffer.from(value)
  return new Uint8Array(buffer, byteOffset, length)
}

const text: KeyCodec = {
  kind: 'text',
  mapKind: 'bytes',
  parse(value) {
    if (value === '') return new BadKey('is empty')
    if (value.includes('\0')) return new BadKey('has a NUL character')
    if (!value.isWellFormed()) return new BadKey('has half a surrogate pair')
    const bytes = encoded(value)
    return bytes.length > MAX_KEY_BYTES
      ? new BadKey(`has ${bytes.length} bytes of UTF-8, ${MAX_KEY_BYTES} at most`)
      : bytes
  },
  fromJson: (value) => (typeof value === 'string' ? text.parse(value) : new BadKey(NOT_TEXT)),
  toJson: (key) => decoder.decode(key as Uint8Array),
  encode: (key) => key as Uint8Array,
  decode(bytes) {
    if (bytes.length === 0 || bytes.includes(0)) return undefined
    try {
      decoder.decode(bytes)
    } catch {
      return undefined
    }
    return bytes
  },
  compare: (one, other) => Buffer.compare(one as Uint8Array, other as Uint8Array),
}

const NOT_WHOLE = 'is not a whole number from 0 to 2^53 - 1'

const number: KeyCodec = {
  kind: 'number',
  mapKind: 'u53',
  parse(value) {
    const key = /^\d{1,16}$/.test(value) ? Number(value) : NaN
    return Number.isSafeInteger(key) ? key : new BadKey(NOT_WHOLE)
  },
  fromJson: (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : typeof value === 'string'
        ? number.parse(value)
        : new BadKey(NOT_WHOLE),
  toJson: (key) => key as number,
  encode(key) {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(key as number))
    return bytes
  },
  decode(bytes) {
    if (bytes.length !== 8) return undefined
    const key = Number(viewOf(bytes).getBigUint64(0))
    return Number.isSafeInteger(key) ? key : undefined
  },
  compare: (one, other) => (one as number) - (other as number),
}

const MAPPED = 0xffffn << 32n
const WORD = 0xffff_ffffn

const address: KeyCodec = {
  kind: 'address',
  mapKind: 'u128',
  parse(value) {
    const found = parseAddress(value)
    if (!found) return new BadKey(`is no address: ${explainBadAddress(value)}`)
    if (found.family === 4) return MAPPED | BigInt(found.word >>> 0)
    let key = 0n
    for (const word of found.words) key = (key << 32n) | BigInt(word >>> 0)
    return key
  },
  fromJson: (value) => (typeof value === 'string' ? address.parse(value) : new BadKey(NOT_TEXT)),
  toJson: (key) => formatAddress(key as bigint),
  encode(key) {
    const bytes = Buffer.alloc(16)
    bytes.writeBigUInt64BE((key as bigint) >> 64n)
    bytes.writeBigUInt64BE((key as bigint) & 0xffff_ffff_ffff_ffffn, 8)
    return bytes
  },
  decode(bytes) {
    if (bytes.length !== 16) return undefined
    const view = viewOf(bytes)
    return (view.getBigUint64(0) << 64n) | view.getBigUint64(8)
  },
  compare: (one, other) => (one < other ? -1 : one > other ? 1 : 0),
}

/** Whether an address is one of IPv4. */
export function isIpv4(key: bigint): boolean {
  return key >> 32n === 0xffffn
}

function formatAddress(key: bigint): string {
  const out = Buffer.alloc(48)
  const word = (shift: bigint) => Number((key >> shift) & WORD)
  const end = isIpv4(key)
    ? writeIpv4(out, 0, word(0n))
    : writeIpv6(out, 0, word(96n), word(64n), word(32n), word(0n))
  return out.toString('latin1', 0, end)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export const keyCodecs: Readonly<Record<KeyKind, KeyCodec>> = { text, number, address }

/** The kind of the keys in a column of which `sample` is a cell. */
export function guessKeyKind(sample: string): KeyKind {
  if (/^\d+$/.test(sample)) return 'number'
  return 'address'
}

/**
 * A range as it stands in a URL: `FROM-TO`, a single key, or for addresses a network such as
 * `10.0.0.0/8`.
 */
export function parseRange(codec: KeyCodec, value: string): KeyRange | BadKey {
  if (codec.kind === 'address' && value.includes('/')) {
    const network = parseNetwork(value)
    return network instanceof BadKey ? network : rangeOf(codec, network.from, network.to)
  }
  const [first = '', last, ...more] = value.split('-')
  if (more.length > 0) return new BadKey('has more than one hyphen')
  const from = codec.parse(first.trim())
  const to = last === undefined ? from : codec.parse(last.trim())
  if (from instanceof BadKey) return about(first, from)
  if (to instanceof BadKey) return about(last ?? first, to)
  return rangeOf(codec, from, to)
}

function about(part: string, { reason }: BadKey): BadKey {
  return new BadKey(`is no range: '${shorten(part)}' ${reason}`)
}

/** Both ends, in order and of one family. */
export function rangeOf(codec: KeyCodec, from: Key, to: Key): KeyRange | BadKey {
  if (codec.compare(from, to) > 0) return new BadKey('ends before it begins')
  return codec.kind === 'address' ? inOneFamily(from as bigint, to as bigint) : { from, to }
}

/** IPv4 lies in the middle of IPv6: a range over it would speak of both. */
function inOneFamily(from: bigint, to: bigint): KeyRange | BadKey {
  if (isIpv4(from) !== isIpv4(to))
    return new BadKey('begins in one family of addresses and ends in the other')
  return from < MAPPED && to > MAPPED
    ? new BadKey('is of IPv6, and holds all of IPv4 (::ffff:0:0/96): leave that out')
    : { from, to }
}

export function parseNetwork(value: string): KeyRange | BadKey {
  const [first = '', bits = '', ...more] = value.split('/')
  const from = address.parse(first) as bigint | BadKey
  if (from instanceof BadKey) return about(first, from)
  const width = isIpv4(from) && !first.includes(':') ? 32 : 128
  const prefix = /^(0|[1-9]\d{0,2})$/.test(bits) ? Number(bits) : NaN
  if (more.length > 0 || !(prefix <= width)) return new BadKey(`has no prefix of 0 to ${width} bits`)
  const rest = (1n << BigInt(width - prefix)) - 1n
  if ((from & rest) !== 0n) return new BadKey('has bits behind its prefix')
  const to = from | rest
  return to > MAX_ADDRESS ? new BadKey('ends behind all addresses') : { from, to }
}
