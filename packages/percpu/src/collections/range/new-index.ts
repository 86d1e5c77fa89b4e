/** The index of a version in the making. */
import { Cursor } from './cursor.js'
import type { Fresh } from './fresh.js'
import { makeIndex, type Region } from './index-pages.js'
import type { Built } from './load.js'
import type { Shape } from './node.js'
import type { Finder } from './search.js'
import { indexOf } from './version.js'

/** What an index is made of. */
interface Making<K, V> {
  /** Reference of the version before. */
  readonly before: number
  readonly built: Built
  /** From where to where the two versions may differ. */
  readonly regions: readonly (readonly [K, K])[]
  readonly fresh: Fresh<K, V>
  /** References of pages that the new version has not go there. */
  readonly dropped: number[]
}

/** The words of the index; undefined if the keys have none. @throws as `Fresh.take`. */
export function newIndex<K, V>(
  shape: Shape<K, V>,
  finder: Finder<K>,
  { before, built: { root, level, size }, regions: changed, fresh, dropped }: Making<K, V>,
): Int32Array | undefined {
  const { memory, positions, keys } = shape
  if (positions === undefined) return undefined
  const { shift, isWide } = positions
  const ofPositions = { ...shape, keys: positions.keys } as unknown as Shape<number, unknown>
  const cursor = new Cursor(ofPositions, finder as unknown as Finder<number>)
  const goTo = (key: K | Uint32Array): void => cursor.seek(root, level, key as number)
  const seek = (position: number): void => goTo(positions.first(position))
  // What follows a range may have another block than before.
  const regions = changed.map(([low, high]): Region => {
    const end = keys.after(high)
    if (root === 0 || end === undefined) return [positions.of(low), Infinity]
    goTo(end)
    return [positions.of(low), Math.ceil(cursor.next() ?? Infinity) - 1]
  })
  const words = indexOf(memory, before)
  const take = (bytes: number): number => fresh.takeNew(bytes)
  const drop = (page: number): void => void dropped.push(page)
  return makeIndex({ memory, shift, isWide, words, size, regions, cursor, seek, take, drop })
}
