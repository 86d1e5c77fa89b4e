/** Finding a range as words: without objects, for those who look up much. */
import { refused } from '../../machine/check.js'
import { Cursor } from './cursor.js'
import { countOf, hasValue, valueWord, type Shape } from './node.js'
import type { Finder } from './search.js'
import { heightOf, rootOf } from './version.js'
import { splitWide, wideBounds, wideWords } from './wide-keys.js'

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
function writeBound(key: unknown, bounds: Uint32Array, at: number): void {
  if (typeof key === 'number') bounds[at] = key
  else {
    splitWide(key as bigint)
    bounds.set(wideWords, at)
  }
}
