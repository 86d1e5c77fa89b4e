/**
 * The hash of keys: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * INDOCRYPT 2012, and its 32-bit variant in their reference code; public domain). It has a seed of
 * its own for each map, so that nobody can choose keys that all fall into one bucket.
 *
 * Cost: about 3 ns a word of four bytes, and 10 ns.
 */

/**
 * The hash of `bytes` bytes, which lie in `words`; those behind them in their last word are 0.
 *
 * The round is written out three times: as a function it would have to return four numbers.
 */
export function hashWords(words: Int32Array, bytes: number, seed0: number, seed1: number): number {
  let v0 = seed0
  let v1 = seed1
  let v2 = seed0 ^ 0x6c796765
  let v3 = seed1 ^ 0x74656462
  const whole = bytes >>> 2
  const last = (bytes << 24) | ((bytes & 3) === 0 ? 0 : (words[whole] ?? 0))
  for (let i = 0; i <= whole; i++) {
    const word = i === whole ? last : (words[i] ?? 0)
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  v2 ^= 0xff
  for (let i = 0; i < 3; i++) {
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  return v1 ^ v3
}

/** The tag of a hash: 1 to 255. Its bits choose buckets only in maps of more than 2^24 of them. */
export function tagOf(hash: number): number {
  const tag = hash >>> 24
  return tag === 0 ? 1 : tag
}
