/** Finding a range as words: without objects, for those who look up much. */
import type { Memory } from '#mem'
import { refused } from '../../machine/check.js'
import { Cursor } from './cursor.js'
import { countOf, hasValue, valueWord, type Shape } from './node.js'
import { ends, indexedRange, NARROW_BITS, rangeInTail } from './index-range.js'
import type { Finder } from './search.js'
import { heightOf, rootOf } from './version.js'
import { splitWide, wideBounds, wideWords, wordsOfWide, writePosition } from './wide-keys.js'

const LAST_WORD = 2 ** 32 - 1

/** @throws ArgumentError for what does not have the words of a first and a last key. */
export function checkBounds<K, V>({ keys, isNarrow }: Shape<K, V>, bounds: Uint32Array): void {
  const words = isNarrow ? 2 : typeof keys.least === 'bigint' ? 8 : 0
  if (words === 0) throw refused('bounds', bounds, "of no use: keys are not of kind 'u32' or 'u128'")
  // A view has no traps.
  if (!ArrayBuffer.isView(bounds) || !(bounds instanceof Uint32Array) || bounds.length < words)
    throw refused('bounds', bounds, `not a Uint32Array of at least ${words} words`)
}

/**
 * The value of the range in which a key lies, in a version; undefined if it lies in none. Where the
 * range begins and ends goes to `bounds`: a word each, or four each, the most significant one
 * first.
 */
export function locate<K, V>(
  shape: Shape<K, V>,
  finder: Finder<K>,
  version: number,
  key: K,
  bounds: Uint32Array,
): V | undefined {
  const { memory, values } = shape
  const root = rootOf(memory, version)
  if (root === 0) return undefined
  finder.descend(root * 2, heightOf(memory, version), key)
  const { node, slot } = finder
  if (!hasValue(memory, node, slot)) return undefined
  const count = countOf(memory, node)
  if (!shape.isNarrow && slot + 1 < count) wideBounds(memory, node, slot, count, bounds)
  else {
    const cursor = new Cursor(shape, finder)
    cursor.seek(root, heightOf(memory, version), key)
    writeBound(cursor.key(), bounds, 0)
    writeBound(cursor.end(), bounds, shape.isNarrow ? 1 : 4)
  }
  return values.read(memory, valueWord(shape, node, slot))
}
/**
 * What the index of a version, by its reference, says of a key of 32 bits: index-words.ts. With a
 * value the ends of its range go to `bounds`.
 */
export function narrowRange(memory: Memory, version: number, key: number, bounds: Uint32Array): number {
  const found = rangeInTail(memory, version, key, bounds)
  if (found !== 0) return found
  const low = key & (2 ** NARROW_BITS - 1)
  const word = indexedRange(memory, version, key >>> NARROW_BITS, low, NARROW_BITS)
  if ((word & 1) === 0) return word
  bounds[0] = ends[0] ?? 0
  bounds[1] = (ends[1] ?? 0) - 1
  return word
}
/** As {@link narrowRange}, of a key of 128 bits. */
export function wideRange(
  memory: Memory,
  version: number,
  key: bigint | Uint32Array,
  bounds: Uint32Array,
): number {
  const words = wordsOfWide(key)
  const [one, two] = [words[0] ?? 0, words[1] ?? 0]
  const word = indexedRange(memory, version, one >>> 14, ((one << 18) | (two >>> 14)) >>> 0, 32)
  if ((word & 1) === 0) return word
  writePosition(ends[0] ?? 0, 0, bounds, 0)
  writePosition((ends[1] ?? 0) - 1, LAST_WORD, bounds, 4)
  return word
}
function writeBound(key: unknown, bounds: Uint32Array, at: number): void {
  if (typeof key === 'number') bounds[at] = key
  else {
    splitWide(key as bigint)
    bounds.set(wideWords, at)
  }
}
