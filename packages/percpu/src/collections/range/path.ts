/** The way from the topmost node of a version in the making to a leaf. */
import { draftOf, type Draft, type Removed } from './draft.js'
import { childOf, countOf, levelOf, storedAt, type Shape } from './node.js'
import type { Stored } from './values.js'

export class DraftPath<K, V> {
  /** Of each level the node; that of level 0 is the leaf. */
  readonly nodes: Draft<K>[] = []
  /** Of each level above the leaf: which child is on the way. */
  readonly slots: number[] = []
  /** The boundary behind all of the leaf; undefined: there is none. */
  bound: K | undefined
  readonly #shape: Shape<K, V>

  constructor(shape: Shape<K, V>) {
    this.#shape = shape
  }

  /** Goes to the leaf in which a key lies. All nodes on the way become drafts. */
  go(root: Draft<K>, key: K): Draft<K> {
    const { keys } = this.#shape
    this.bound = undefined
    this.nodes.length = root.level + 1
    let node = root
    for (; node.level > 0; node = this.#openChild(node)) {
      const slot = Math.max(0, indexBehind(keys.compare, node.keys, key) - 1)
      this.nodes[node.level] = node
      this.slots[node.level] = slot
      this.bound = node.keys[slot + 1] ?? this.bound
    }
    this.nodes[0] = node
    return node
  }
  #openChild({ children, level }: Draft<K>): Draft<K> {
    const slot = this.slots[level] ?? 0
    const child = children[slot] as number | Draft<K>
    return typeof child === 'number' ? (children[slot] = draftOf(this.#shape, child)) : child
  }

  /** All nodes on the way are to be made anew. */
  change(removed: Removed<K, V>): void {
    for (const node of this.nodes) removed.change(node)
  }

  /**
   * The last value of the leaf before, or the first one of that behind; undefined also if there is
   * none.
   */
  beside(step: 1 | -1): Stored {
    for (let level = 1; level < this.nodes.length; level++) {
      const { children } = this.nodes[level] as Draft<K>
      const beside = children[(this.slots[level] ?? 0) + step]
      if (beside !== undefined) return this.#edgeOf(beside, step)
    }
    return undefined
  }
  #edgeOf(top: number | Draft<K>, step: 1 | -1): Stored {
    const at = step > 0 ? 0 : -1
    let node = top
    while (typeof node !== 'number') {
      if (node.level === 0) return node.values.at(at)
      node = node.children.at(at) ?? 0
    }
    const shape = this.#shape
    const { memory } = shape
    const slotOf = (word: number): number => (step > 0 ? 0 : countOf(memory, word) - 1)
    let word = node * 2
    for (let level = levelOf(memory, word); level > 0; level--) word = childOf(shape, word, slotOf(word)) * 2
    return storedAt(shape, word, slotOf(word))
  }
}

/** The first index of keys that are behind this one. */
export function indexBehind<K>(compare: (one: K, other: K) => number, list: readonly K[], key: K): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(list[middle] as K, key) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
