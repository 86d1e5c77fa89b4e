/**
 * Text as bytes: UTF-8, in which half a surrogate pair is encoded as other characters of its size
 * are (WTF-8: Sapin, "The WTF-8 encoding"). So every string is read back as it was, and different
 * strings have different bytes.
 *
 * Most strings are short and have ASCII characters only: these are copied by a loop. Of longer
 * ones, the engine's own functions are faster.
 */
import { TextDecoder, TextEncoder } from '../text.js'
import type { Scratch } from './scratch.js'

/** Characters from which on the engine's functions are faster. */
const LONG = 48
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true })

/** Encodes a text; false if it has more than `limit` bytes. */
export function encodeText(scratch: Scratch, text: string, limit: number): boolean {
  const { length } = text
  if (length > limit) return false
  if (length > LONG) return encodeLong(scratch, text, limit)
  scratch.reserve(LONG * 3)
  const { bytes } = scratch
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return encodeWide(scratch, text, limit)
    bytes[i] = code
  }
  scratch.end(length)
  return true
}

function encodeLong(scratch: Scratch, text: string, limit: number): boolean {
  if (!text.isWellFormed()) return encodeWide(scratch, text, limit)
  scratch.reserve(text.length * 3)
  const { written } = encoder.encodeInto(text, scratch.bytes)
  if (written > limit) return false
  scratch.end(written)
  return true
}

function encodeWide(scratch: Scratch, text: string, limit: number): boolean {
  scratch.reserve(text.length * 3)
  const { bytes } = scratch
  let at = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i) ?? 0
    if (code > 0xffff) i++
    if (code < 0x80) bytes[at++] = code
    else if (code < 0x800) {
      bytes[at++] = 0xc0 | (code >>> 6)
      bytes[at++] = 0x80 | (code & 0x3f)
    } else {
      if (code < 0x10000) bytes[at++] = 0xe0 | (code >>> 12)
      else {
        bytes[at++] = 0xf0 | (code >>> 18)
        bytes[at++] = 0x80 | ((code >>> 12) & 0x3f)
      }
      bytes[at++] = 0x80 | ((code >>> 6) & 0x3f)
      bytes[at++] = 0x80 | (code & 0x3f)
    }
  }
  if (at > limit) return false
  scratch.end(at)
  return true
}

/** The text whose bytes were copied to the scratch. */
export function decodeText({ bytes, length }: Scratch): string {
  if (length <= SHORT) {
    let text = ''
    let all = 0
    for (let i = 0; i < length; i++) {
      const byte = bytes[i] ?? 0
      all |= byte
      text += ascii[byte] ?? ''
    }
    if (all < 0x80) return text
  }
  const encoded = bytes.subarray(0, length)
  try {
    return decoder.decode(encoded)
  } catch {
    // It has half a surrogate pair.
    return decodeWide(encoded)
  }
}
/** Bytes up to which a loop is faster. */
const SHORT = 12
const ascii = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code))

function decodeWide(bytes: Uint8Array): string {
  const units: number[] = []
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at++] ?? 0
    const more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3
    let code = more === 0 ? first : first & (0x3f >>> more)
    for (let i = 0; i < more; i++) code = (code << 6) | ((bytes[at++] ?? 0) & 0x3f)
    if (code > 0xffff) units.push(0xd7c0 + (code >>> 10), 0xdc00 + (code & 0x3ff))
    else units.push(code)
  }
  const parts: string[] = []
  for (let i = 0; i < units.length; i += 4096) parts.push(String.fromCharCode(...units.slice(i, i + 4096)))
  return parts.join('')
}
