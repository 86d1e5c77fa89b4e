/**
 * IP addresses from text and from bytes.
 *
 * IPv4 is strict: four decimal numbers of 0–255 without leading zeros. IPv6 is RFC 4291 text, without a zone: a zone names an
 * interface of one host, so there is nothing to look up. IPv4-mapped IPv6 (`::ffff:1.2.3.4`) is the IPv4 address it maps.
 */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Words hold 32 bits each, most significant word first, as signed integers. */
export type Address =
  | { readonly family: 4; readonly word: number }
  | { readonly family: 6; readonly words: readonly [number, number, number, number] }

/** What {@link parseQuad} returns for anything but a dotted quad; no 32-bit integer. */
export const NOT_A_QUAD = 0x1_0000_0000

const DOT = 0x2e
const ZERO = 0x30

/** The dotted quad in `bytes[start, end)` as a signed 32-bit integer, or {@link NOT_A_QUAD}. About 10 ns. */
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

/** The address that `text` is, or undefined; see {@link explainBadAddress}. About 1 µs. */
export function parseAddress(text: string): Address | undefined {
  const family = isIP(text)
  if (family === 4) return { family: 4, word: quadWord(text) }
  if (family === 0 || text.includes('%')) return undefined
  const words = ipv6Words(text)
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return { family: 4, word: words[3] }
  return { family: 6, words }
}

/** The word of text that `node:net` has found to be a dotted quad. */
function quadWord(text: string): number {
  let word = 0
  let octet = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === DOT) {
      word = (word << 8) | octet
      octet = 0
    } else {
      octet = octet * 10 + code - ZERO
    }
  }
  return (word << 8) | octet
}

/** Words of text that `node:net` has found to be IPv6 without a zone. */
function ipv6Words(text: string): [number, number, number, number] {
  const parts = ipaddr.IPv6.parse(text).parts
  const word = (i: number) => ((parts[i] ?? 0) << 16) | (parts[i + 1] ?? 0)
  return [word(0), word(2), word(4), word(6)]
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

/** Text that came from outside, cut to a length fit for a message. */
export function shorten(text: string, limit = 60): string {
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}
