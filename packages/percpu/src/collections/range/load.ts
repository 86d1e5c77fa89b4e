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

/** The boundaries of sorted ranges, of which none overlap. Each one goes to `emit`. */
export class Boundaries<K, V> {
  readonly #shape: Shape<K, V>
  readonly #emit: (key: K, value: Stored) => void
  /** Where the next range may begin; undefined: nowhere. */
  #free: K | undefined
  #before: Stored
  #isFirst = true

  constructor(shape: Shape<K, V>, emit: (key: K, value: Stored) => void) {
    this.#shape = shape
    this.#emit = emit
    this.#free = shape.keys.least
  }

  /** The next range. @throws ArgumentError unless it lies behind the others. */
  add({ from, to, value }: Change<K>): void {
    const { memory, keys, values } = this.#shape
    const free = this.#free
    const order = free === undefined ? -1 : keys.compare(from, free)
    if (order < 0) throw unsorted(from, to)
    if (order > 0 && (this.#isFirst || this.#before !== undefined)) {
      this.#emit(free as K, undefined)
      this.#before = undefined
      this.#isFirst = false
    }
    if (this.#isFirst || !values.isEqual(memory, this.#before, value)) this.#emit(from, value)
    this.#isFirst = false
    this.#before = value
    this.#free = keys.after(to)
  }
  /** There are no more. */
  end(): void {
    if (this.#free !== undefined && this.#before !== undefined) this.#emit(this.#free, undefined)
  }
}
function unsorted(from: unknown, to: unknown): ArgumentError {
  return new ArgumentError('ranges: they must be sorted, and not overlap: one begins before another ends', {
    from: ownOf(from),
    to: ownOf(to),
  })
}
/** A key for users: short-lived bytes are part of a larger buffer. */
function ownOf(key: unknown): unknown {
  return key instanceof Uint8Array ? key.slice() : key
}

/** A node, and its first boundary. */
interface Made<K> {
  readonly key: K
  readonly node: number
}

/** A tree in the making. What has no memory yet may be asked for again. */
export class TreeBuilder<K, V> {
  readonly #fresh: Fresh<K, V>
  readonly #capacity: number
  readonly #boundaries: Boundaries<K, V>
  readonly #leaves: Made<K>[] = []
  /** Of the leaf that is not full yet, and of what is behind it. */
  readonly #keys: K[] = []
  readonly #values: Stored[] = []
  #size = 0
  #isEnded = false

  constructor(shape: Shape<K, V>, fresh: Fresh<K, V>) {
    this.#fresh = fresh
    this.#capacity = shape.keys.capacity
    this.#boundaries = new Boundaries(shape, (key, value) => {
      this.#keys.push(key)
      this.#values.push(value)
      if (value !== undefined) this.#size++
    })
  }

  /** The next range; it takes no memory yet. @throws ArgumentError unless they are sorted. */
  add(range: Change<K>): void {
    this.#boundaries.add(range)
  }
  /** There are no more ranges. */
  end(): void {
    this.#boundaries.end()
    this.#isEnded = true
  }
  /**
   * Makes the leaves that are full, and at the end the last one.
   *
   * @throws what taking memory throws. It may be called again then.
   */
  settle(): void {
    while (this.#keys.length > (this.#isEnded ? 0 : this.#capacity)) this.#endLeaf()
  }
  #endLeaf(): void {
    const keys = this.#keys.slice(0, this.#capacity)
    const node = this.#fresh.whole(() => this.#fresh.leaf(keys, this.#values.slice(0, this.#capacity)))
    this.#leaves.push({ key: keys[0] as K, node })
    this.#keys.splice(0, keys.length)
    this.#values.splice(0, keys.length)
  }

  /** The tree, once all leaves are made. @throws as {@link settle}. */
  build(): Built {
    let nodes = this.#leaves
    let level = 0
    this.#fresh.whole(() => {
      while (nodes.length > 1) nodes = this.#above(nodes, ++level)
    })
    return { root: nodes[0]?.node ?? 0, level, size: this.#size }
  }
  #above(nodes: readonly Made<K>[], level: number): Made<K>[] {
    const capacity = this.#capacity
    const above: Made<K>[] = []
    for (let first = 0; first < nodes.length; first += capacity) {
      const part = nodes.slice(first, first + capacity)
      const keys = part.map(({ key }) => key)
      const children = part.map(({ node }) => node)
      above.push({ key: keys[0] as K, node: this.#fresh.inner(level, keys, children) })
    }
    return above
  }
}
