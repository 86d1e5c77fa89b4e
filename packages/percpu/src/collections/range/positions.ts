/**
 * What the index of a version sees of keys: *positions*, whole numbers. A key of 32 bits is its own
 * position. That of a key of 128 bits is its upper 50 bits: those of most boundaries of IPv6.
 *
 * So a position may have many keys. Where these have more than one value, the index has none.
 */
import type { Memory } from '#mem'
import { indexedWide, indexedWord } from './index-search.js'
import { u32, type KeyKind } from './keys.js'
import { positionOfWide, readPosition, u128, wordsOfWide, writePosition } from './wide-keys.js'

export interface Positions<K> {
  /** How many bits of them are below those that choose a word of the version. */
  readonly shift: number
  /** Whether what tails say of where steps begin has 32 bits, and not 16. */
  readonly isWide: boolean
  /** Of nodes. A key that is not the first one of its position is read as half a one more. */
  readonly keys: KeyKind<number>
  readonly of: (key: K) => number
  /** The first key of a position. */
  readonly first: (position: number) => K | Uint32Array
  /** What the index of a version, by its reference, says of a key: index-words.ts. */
  readonly word: (memory: Memory, version: number, key: K) => number
}

export const narrow: Positions<number> = {
  shift: 20,
  isWide: false,
  keys: u32,
  of: (key) => key,
  first: (position) => position,
  word: indexedWord,
}
export const wide: Positions<bigint> = {
  shift: 38,
  isWide: true,
  keys: { ...(u128 as unknown as KeyKind<number>), read: readPosition },
  of: (key) => {
    const words = wordsOfWide(key)
    return positionOfWide(words[0] ?? 0, words[1] ?? 0)
  },
  first: (position) => {
    const words = new Uint32Array(4)
    writePosition(position, 0, words, 0)
    return words
  },
  word: (memory, version, key) => {
    const words = wordsOfWide(key)
    return indexedWide(memory, version, words[0] ?? 0, words[1] ?? 0)
  },
}
