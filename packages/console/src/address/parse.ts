/**
 * IP addresses from text and from bytes.
 *
 * IPv4 is strict: four decimal numbers of 0–255 without leading zeros. IPv6 is RFC 4291 text,
 * without a zone: a zone names an interface of one host, so there is nothing to look up.
 * IPv4-mapped IPv6 (`::ffff:1.2.3.4`) is the IPv4 address it maps.
 */
import { isIP } from 'node:net'

/** Words hold 32 bits each, most significant word first, as signed integers. */
export type Address =
  | { readonly family: 4; readonly word: number }
  | { readonly family: 6; readonly words: readonly [number, number, number, number] }

/** What {@link parseQuad} returns for anything but a dotted quad; no 32-bit integer. */
export const NOT_A_QUAD = 0x1_0000_0000

const DOT = 0x2e
const COLON = 0x3a
const ZERO = 0x30

/**
 * The dotted quad in `bytes[start, end)` as a signed 32-bit integer, or {@link NOT_A_QUAD}. About
 * 10 ns.
 */
export function parseQuad(bytes: Uint8Array, start: number, end: number): number {
  let word = 0
  let octet = -1
  let dots = 0
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    const digit = byte - ZERO
    if (digit >= 0 && digit <= 9) {
      // An octet that is 0 so far may not go on: a leading zero means octal to some readers.
      if (octet === 0) return NOT_A_QUAD
      octet = octet < 0 ? digit : octet * 10 + digit
      if (octet > 255) return NOT_A_QUAD
    } else if (byte === DOT && octet >= 0 && dots < 3) {
      word = (word << 8) | octet
      octet = -1
      dots++
    } else {
      return NOT_A_QUAD
    }
  }
  return dots === 3 && octet >= 0 ? (word << 8) | octet : NOT_A_QUAD
}

const groups = new Uint16Array(8)

/** Whether `bytes[start, end)` is IPv6 text; if so, `words` gets its four words. About 50 ns. */
export function parseIpv6(bytes: Uint8Array, start: number, end: number, words: Int32Array): boolean {
  let count = 0
  // Where `::` stands: behind this many groups.
  let gap = -1
  let at = start
  if (bytes[at] === COLON) {
    if (at + 1 >= end || bytes[at + 1] !== COLON) return false
    gap = 0
    at += 2
  }
  while (at < end) {
    const first = at
    let group = 0
    while (at < end && hexDigit(bytes[at] as number) >= 0)
      group = (group << 4) | hexDigit(bytes[at++] as number)
    if (at < end && bytes[at] === DOT) {
      const quad = count > 6 ? NOT_A_QUAD : parseQuad(bytes, first, end)
      if (quad === NOT_A_QUAD) return false
      groups[count++] = quad >>> 16
      groups[count++] = quad
      break
    }
    if (at === first || at - first > 4 || count === 8) return false
    groups[count++] = group
    if (at === end) break
    // A colon and more; at the end only two of them.
    if (bytes[at++] !== COLON || at === end) return false
    if (bytes[at] === COLON) {
      if (gap >= 0) return false
      gap = count
      at++
    }
  }
  if (gap < 0 ? count !== 8 : count === 8) return false
  spread(count, gap < 0 ? 8 : gap, words)
  return true
}

/** Four words of the first `count` groups, with zeros between the first `gap` and the others. */
function spread(count: number, gap: number, words: Int32Array): void {
  const zeros = 8 - count
  for (let i = 7; i >= gap; i--) groups[i] = i < gap + zeros ? 0 : (groups[i - zeros] as number)
  for (let i = 0; i < 4; i++) words[i] = ((groups[i * 2] as number) << 16) | (groups[i * 2 + 1] as number)
}

/** The value of a hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
  const digit = byte - ZERO
  if (digit >= 0 && digit <= 9) return digit
  // Either case: `a` and `A` differ in one bit.
  const letter = (byte | 0x20) - 0x61
  return letter >= 0 && letter <= 5 ? letter + 10 : -1
}

/** Whether the words are those of an IPv4-mapped address; its last word is the IPv4 address. */
export function isMapped(words: Int32Array): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff
}

/** Longest address: six groups of four digits and a dotted quad. */
const MAX_TEXT = 45
const scratch = Buffer.alloc(4 * MAX_TEXT)
const scratchWords = new Int32Array(4)

/** The address that `text` is, or undefined; see {@link explainBadAddress}. A few hundred ns. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > MAX_TEXT) return undefined
  const length = scratch.write(text, 'utf8')
  const word = parseQuad(scratch, 0, length)
  if (word !== NOT_A_QUAD) return { family: 4, word }
  if (!parseIpv6(scratch, 0, length, scratchWords)) return undefined
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = scratchWords
  return isMapped(scratchWords) ? { family: 4, word: w3 } : { family: 6, words: [w0, w1, w2, w3] }
}

/** Why `text` is no address that can be looked up. */
export function explainBadAddress(text: string): string {
  if (text === '') return 'empty: expected an IPv4 or IPv6 address'
  const percent = text.indexOf('%')
  if (percent >= 0 && isIP(text) === 6)
    return `has a zone ('${shorten(text.slice(percent))}'): give the address without it`
  const slash = text.indexOf('/')
  if (slash > 0 && isIP(text.slice(0, slash)) !== 0)
    return 'is a network, not an address: give one address of it'
  if (text.startsWith('[') && text.endsWith(']') && isIP(text.slice(1, -1)) === 6)
    return 'has brackets: give the address without them'
  const port = explainPort(text)
  if (port !== undefined) return port
  if (/^\d+(\.\d+)*\.?$/.test(text)) return explainBadQuad(text)
  return 'not an IPv4 or IPv6 address'
}

function explainBadQuad(text: string): string {
  const octets = text.split('.')
  const tooLarge = octets.find((octet) => Number(octet) > 255)
  const padded = octets.find((octet) => octet.length > 1 && octet.startsWith('0'))
  if (octets.length !== 4 || octets.includes('')) {
    return `not an IPv4 address: has ${octets.filter((octet) => octet !== '').length} of 4 numbers`
  }
  if (tooLarge !== undefined) return `not an IPv4 address: ${shorten(tooLarge)} is above 255`
  if (padded !== undefined) return `not an IPv4 address: ${shorten(padded)} has a leading zero`
  return 'not an IPv4 or IPv6 address'
}

/** `host` of `host:port` and `[host]:port`, where the port is one; empty for anything else. */
export function withoutPort(text: string): string {
  const [, bracketed, bare, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  return Number(port) <= 0xffff ? (bracketed ?? bare ?? '') : ''
}

/** The reason to give for an address with a port; undefined for anything else. */
function explainPort(text: string): string | undefined {
  const host = withoutPort(text)
  if (host === '' || !parseAddress(host)) return undefined
  return `has a port ('${shorten(text.slice(text.lastIndexOf(':')))}'): give the address without it`
}

/** Text that came from outside, cut to a length fit for a message. */
export function shorten(text: string, limit = 60): string {
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}
