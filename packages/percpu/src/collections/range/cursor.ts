/** A place in one version, from which one goes from leaf to leaf. */
import { childOf, countOf, hasValue, storedAt, valueWord, type Shape } from './node.js'
import type { Finder } from './search.js'
import type { Stored } from './values.js'

/** A range: all keys from `from` to `to`, both of which belong to it, have this value. */
export interface Range<K, V> {
  readonly from: K
  readonly to: K
  readonly value: V
}

export class Cursor<K, V> {
  readonly #shape: Shape<K, V>
  readonly #finder: Finder<K>
  /** Word index of the node of each level above the leaves, and which child it is in. */
  readonly #nodes: number[] = []
  readonly #slots: number[] = []
  #top = 0
  /** Word index of the leaf. */
  leaf = 0
  slot = 0

  constructor(shape: Shape<K, V>, finder: Finder<K>) {
    this.#shape = shape
    this.#finder = finder
  }

  /** Goes to the last boundary that is not behind a key. `root`: reference. */
  seek(root: number, level: number, key: K): void {
    this.#top = level
    let node = root * 2
    for (let at = level; at > 0; at--) {
      const slot = this.#finder.slotIn(node, key)
      this.#nodes[at] = node
      this.#slots[at] = slot
      node = childOf(this.#shape, node, slot) * 2
    }
    this.leaf = node
    this.slot = this.#finder.slotIn(node, key)
  }

  /** Goes to the first boundary of the next leaf, or the last one of that before; false: none. */
  toLeaf(step: 1 | -1): boolean {
    const { memory } = this.#shape
    let at = 1
    for (; at <= this.#top; at++) {
      const slot = (this.#slots[at] ?? 0) + step
      if (slot < 0 || slot >= countOf(memory, this.#nodes[at] ?? 0)) continue
      this.#slots[at] = slot
      break
    }
    if (at > this.#top) return false
    for (; at > 0; at--) {
      const node = childOf(this.#shape, this.#nodes[at] ?? 0, this.#slots[at] ?? 0) * 2
      const slot = step > 0 ? 0 : countOf(memory, node) - 1
      if (at === 1) {
        this.leaf = node
        this.slot = slot
      } else {
        this.#nodes[at - 1] = node
        this.#slots[at - 1] = slot
      }
    }
    return true
  }

  /** How many boundaries the leaf has. */
  get count(): number {
    return countOf(this.#shape.memory, this.leaf)
  }
  key(slot = this.slot): K {
    const { keys, memory } = this.#shape
    return keys.read(memory, this.leaf, slot)
  }
  /** Whether a boundary has a value. */
  hasValue(slot = this.slot): boolean {
    return hasValue(this.#shape.memory, this.leaf, slot)
  }
  stored(slot = this.slot): Stored {
    return storedAt(this.#shape, this.leaf, slot)
  }
  value(slot = this.slot): V {
    const shape = this.#shape
    return shape.values.read(shape.memory, valueWord(shape, this.leaf, slot))
  }
  /** The boundary behind one; undefined behind the last. */
  next(slot = this.slot): K | undefined {
    const { keys, memory } = this.#shape
    if (slot + 1 < this.count) return this.key(slot + 1)
    for (let at = 1; at <= this.#top; at++) {
      const node = this.#nodes[at] ?? 0
      const behind = (this.#slots[at] ?? 0) + 1
      if (behind < countOf(memory, node)) return keys.read(memory, node, behind)
    }
    return undefined
  }
  /** The last key before the next boundary. */
  end(slot = this.slot): K {
    const { keys } = this.#shape
    const next = this.next(slot)
    return next === undefined ? keys.greatest : keys.before(next)
  }
  range(slot = this.slot): Range<K, V> {
    return { from: this.key(slot), to: this.end(slot), value: this.value(slot) }
  }
}
