/** A tree made of sorted ranges, from the leaves up, with full nodes. */
import { ArgumentError } from '../../errors.js'
import type { Fresh } from './fresh.js'
import type { Change } from './edit.js'
import type { Shape } from './node.js'
import type { Stored } from './values.js'

/** A tree that nobody finds yet. */
export interface Built {
  /** The reference of its topmost node, or 0. */
  readonly root: number
  readonly level: number
  readonly size: number
}

/** The boundaries of sorted ranges, of which none overlap. @throws ArgumentError for others. */
export function* boundariesOf<K, V>(
  { memory, keys, values }: Shape<K, V>,
  ranges: Iterable<Change<K>>,
): Generator<{ readonly key: K; readonly value: Stored }, void> {
  /** Where the next range may begin; undefined: nowhere. */
  let free: K | undefined = keys.least
  let before: Stored
  let isFirst = true
  for (const { from, to, value } of ranges) {
    const order = free === undefined ? -1 : keys.compare(from, free)
    if (order < 0) throw unsorted(from, to)
    if (order > 0 && (isFirst || before !== undefined)) {
      yield { key: free as K, value: undefined }
      before = undefined
      isFirst = false
    }
    if (isFirst || !values.isEqual(memory, before, value)) yield { key: from, value }
    isFirst = false
    before = value
    free = keys.after(to)
  }
  if (free !== undefined && before !== undefined) yield { key: free, value: undefined }
}
function unsorted(from: unknown, to: unknown): ArgumentError {
  return new ArgumentError('ranges: they must be sorted, and not overlap: one begins before another ends', {
    from,
    to,
  })
}

/** Builds the tree. @throws what taking memory throws, and what `ranges` throws. */
export function build<K, V>(shape: Shape<K, V>, fresh: Fresh<K, V>, ranges: Iterable<Change<K>>): Built {
  const { capacity } = shape.keys
  const leaves: { key: K; node: number }[] = []
  let keys: K[] = []
  let values: Stored[] = []
  let size = 0
  const endLeaf = (): void => {
    if (keys.length > 0) leaves.push({ key: keys[0] as K, node: fresh.leaf(keys, values) })
    keys = []
    values = []
  }
  for (const { key, value } of boundariesOf(shape, ranges)) {
    if (keys.length === capacity) endLeaf()
    keys.push(key)
    values.push(value)
    if (value !== undefined) size++
  }
  endLeaf()
  let nodes = leaves
  let level = 0
  while (nodes.length > 1) {
    level++
    const above: typeof nodes = []
    for (let first = 0; first < nodes.length; first += capacity) {
      const part = nodes.slice(first, first + capacity)
      const list = part.map(({ key }) => key)
      above.push({
        key: list[0] as K,
        node: fresh.inner(
          level,
          list,
          part.map(({ node }) => node),
        ),
      })
    }
    nodes = above
  }
  return { root: nodes[0]?.node ?? 0, level, size }
}
