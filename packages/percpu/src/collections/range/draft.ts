/**
 * A version in the making: nodes that are changed are private objects, and become shared ones when
 * all is done. So whatever is thrown meanwhile, nothing has changed.
 */
import { childOf, countOf, hasValue, keysOf, levelOf, storedAt, type Shape } from './node.js'
import type { Block, Stored } from './values.js'

/** A node in the making: a copy of one that there is, or a new one. */
export interface Draft<K> {
  readonly level: number
  readonly keys: K[]
  /** Of a leaf. */
  readonly values: Stored[]
  /** Of an inner node: references, or drafts of what may change. */
  readonly children: (number | Draft<K>)[]
  /** Reference of the node that it is a copy of, or 0. */
  readonly origin: number
  /** Differs from that. */
  isChanged: boolean
}

export function newDraft<K>(
  level: number,
  { keys = [], values = [], children = [] }: Partial<Draft<K>> = {},
): Draft<K> {
  return { level, keys, values, children, origin: 0, isChanged: true }
}

/** A copy of a node, by reference. */
export function draftOf<K, V>(shape: Shape<K, V>, origin: number): Draft<K> {
  const node = origin * 2
  const keys = keysOf(shape, node)
  const level = levelOf(shape.memory, node)
  const values = level === 0 ? keys.map((_, slot) => storedAt(shape, node, slot)) : []
  const children = level === 0 ? [] : keys.map((_, slot) => childOf(shape, node, slot))
  return { level, keys, values, children, origin, isChanged: false }
}

/** What a change takes out of the version before. */
export class Removed<K, V> {
  /** References of what is not part of the new version. */
  readonly objects: number[] = []
  /** Ranges less than before. */
  ranges = 0
  readonly #shape: Shape<K, V>

  constructor(shape: Shape<K, V>) {
    this.#shape = shape
  }

  /** A draft differs from its node. */
  change(draft: Draft<K>): void {
    if (draft.isChanged) return
    draft.isChanged = true
    if (draft.origin !== 0) this.objects.push(draft.origin)
  }
  /** A boundary is not there any more; `kept`: the block of one that is to be there elsewhere. */
  boundary(value: Stored, kept: number): void {
    if (value === undefined) return
    this.ranges++
    this.value(value, kept)
  }
  value(value: Stored, kept = 0): void {
    if (typeof value !== 'object') return
    const { block }: Block = value
    if (block !== 0 && block !== kept) this.objects.push(block)
  }
  /** A node with all below it, and all values. */
  tree(node: number | Draft<K>, kept = 0): void {
    if (typeof node !== 'number') {
      this.change(node)
      for (const value of node.values) this.boundary(value, kept)
      for (const child of node.children) this.tree(child, kept)
      return
    }
    const shape = this.#shape
    const { memory } = shape
    const word = node * 2
    const isLeaf = levelOf(memory, word) === 0
    this.objects.push(node)
    for (let slot = 0, count = countOf(memory, word); slot < count; slot++) {
      if (!isLeaf) this.tree(childOf(shape, word, slot), kept)
      else if (hasValue(memory, word, slot)) this.boundary(storedAt(shape, word, slot), kept)
    }
  }
}
