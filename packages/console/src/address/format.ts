/** Addresses as text, written straight into a buffer: dotted quads, and IPv6 as RFC 5952 has it. */

const DOT = 0x2e
const COLON = 0x3a

/** Longest IPv6 text: 8 groups of 4 digits and 7 colons. */
export const MAX_ADDRESS_BYTES = 39

/** Per octet: three digits, left-aligned, and how many of them count. */
const octets = new Uint8Array(256 * 4)
for (let octet = 0; octet < 256; octet++) {
  const digits = String(octet)
  for (let i = 0; i < digits.length; i++) octets[octet * 4 + i] = digits.charCodeAt(i)
  octets[octet * 4 + 3] = digits.length
}

const hexDigits = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))

function writeOctet(out: Uint8Array, at: number, octet: number): number {
  const from = octet * 4
  // Always three stores, no branch: the next write covers what is too much.
  out[at] = octets[from] as number
  out[at + 1] = octets[from + 1] as number
  out[at + 2] = octets[from + 2] as number
  return at + (octets[from + 3] as number)
}

/** Writes the quad at `at`, needs room for 16 bytes, and returns the position behind it. */
export function writeIpv4(out: Uint8Array, at: number, word: number): number {
  let end = writeOctet(out, at, word >>> 24)
  out[end] = DOT
  end = writeOctet(out, end + 1, (word >>> 16) & 0xff)
  out[end] = DOT
  end = writeOctet(out, end + 1, (word >>> 8) & 0xff)
  out[end] = DOT
  return writeOctet(out, end + 1, word & 0xff)
}

const groups = new Uint16Array(8)

/**
 * Writes IPv6 text at `at`, needs room for {@link MAX_ADDRESS_BYTES}, and returns the position
 * behind it.
 */
export function writeIpv6(
  out: Uint8Array,
  at: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  groups[0] = w0 >>> 16
  groups[1] = w0
  groups[2] = w1 >>> 16
  groups[3] = w1
  groups[4] = w2 >>> 16
  groups[5] = w2
  groups[6] = w3 >>> 16
  groups[7] = w3
  const run = longestZeroRun()
  const from = run >>> 4
  const to = run & 15
  let end = at
  for (let i = 0; i < 8; i++) {
    if (i === from) {
      out[end++] = COLON
      if (from === 0) out[end++] = COLON
      i = to - 1
      continue
    }
    end = writeHex(out, end, groups[i] as number)
    if (i < 7) out[end++] = COLON
  }
  return end
}

/** The first longest run of at least two zero groups: from × 16 + to; 8 × 16 if there is none. */
function longestZeroRun(): number {
  let best = 8 << 4
  let longest = 1
  let from = -1
  for (let i = 0; i <= 8; i++) {
    if (i < 8 && groups[i] === 0) {
      if (from < 0) from = i
    } else if (from >= 0) {
      if (i - from > longest) {
        longest = i - from
        best = (from << 4) | i
      }
      from = -1
    }
  }
  return best
}

function writeHex(out: Uint8Array, at: number, group: number): number {
  let end = at
  if (group >= 0x1000) out[end++] = hexDigits[group >>> 12] as number
  if (group >= 0x100) out[end++] = hexDigits[(group >>> 8) & 15] as number
  if (group >= 0x10) out[end++] = hexDigits[(group >>> 4) & 15] as number
  out[end++] = hexDigits[group & 15] as number
  return end
}

const scratch = Buffer.alloc(64)

export function ipv4Text(word: number): string {
  return scratch.toString('latin1', 0, writeIpv4(scratch, 0, word))
}

export function ipv6Text(w0: number, w1: number, w2: number, w3: number): string {
  return scratch.toString('latin1', 0, writeIpv6(scratch, 0, w0, w1, w2, w3))
}
