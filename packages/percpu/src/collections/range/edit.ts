/**
 * Changes of a version in the making: what ranges there are, as boundaries (range-layout.ts).
 *
 * To set a range is to take all boundaries in it and right behind it away, and to put at most two
 * there: where it begins, unless the value before is equal; and behind it, with the value that was
 * there, unless that is equal.
 *
 * Most ranges begin and end in one leaf: what is to be done there takes one way down. Each node
 * that is touched is copied once, however many changes it has.
 */
import { draftOf, newDraft, Removed, type Draft } from './draft.js'
import { countOf, levelOf, storedAt, type Shape } from './node.js'
import { DraftPath, indexBehind } from './path.js'
import type { Finder } from './search.js'
import { bytesOf, type Block, type Stored } from './values.js'

/** What is to happen to a range; without a value it ends. */
export interface Change<K> {
  readonly from: K
  readonly to: K
  readonly value: Stored
}

/** A boundary, and the value from there on. */
interface Step<K> {
  readonly key: K
  readonly value: Stored
}

export class RangeEdit<K, V> {
  /** The topmost node, by reference or as a draft; 0 if there is none. */
  root: number | Draft<K>
  readonly removed: Removed<K, V>
  /** Ranges that there are. */
  size: number
  isChanged = false
  /** From where to where there may be others. */
  readonly regions: [from: K, to: K][] = []
  readonly #shape: Shape<K, V>
  readonly #finder: Finder<K>
  readonly #capacity: number
  readonly #path: DraftPath<K, V>
  /** The block that is to stay, of those that are taken away. */
  #kept = 0

  constructor(shape: Shape<K, V>, finder: Finder<K>, root: number, size: number) {
    this.root = root
    this.size = size
    this.removed = new Removed(shape)
    this.#shape = shape
    this.#finder = finder
    this.#capacity = shape.keys.capacity
    this.#path = new DraftPath(shape)
  }

  /** Makes a change. */
  apply(change: Change<K>): void {
    if (!this.#applyInLeaf(change)) this.#applyAcross(change)
  }

  /** Makes a change that concerns the boundaries of one leaf; false: it may concern others. */
  #applyInLeaf({ from, to, value }: Change<K>): boolean {
    if (this.root === 0) return false
    const shape = this.#shape
    const { compare, least, after } = shape.keys
    const path = this.#path
    const leaf = path.go((this.root = this.#open(this.root)), from)
    const { keys, values } = leaf
    const { bound } = path
    if (bound !== undefined && compare(to, bound) >= 0) return false
    const end = after(to)
    const endsAtBound = end !== undefined && bound !== undefined && compare(end, bound) === 0
    const first = this.#notBefore(keys, from)
    const behind = end === undefined ? keys.length : this.#behind(keys, end)
    const inside = this.#behind(keys, from) - 1
    if (inside === this.#behind(keys, to) - 1 && this.#isEqual(values[inside], value)) return true
    const isFirst = first === 0 && compare(from, least) === 0
    const before = first > 0 ? values[first - 1] : path.beside(-1)
    const begins = isFirst || !this.#isEqual(before, value)
    // The leaf would begin elsewhere.
    if (first === 0 && !begins) return false
    // It becomes one with the range behind. Mutant: collections/range-leaf-joined.
    if (endsAtBound && this.#isEqual(path.beside(1), value)) return false
    const steps: Step<K>[] = begins ? [{ key: from, value }] : []
    let kept = 0
    if (end !== undefined && !endsAtBound) {
      const rest = values[behind - 1]
      const isMoved = behind > first
      if (!this.#isEqual(rest, value)) {
        if (isMoved && typeof rest === 'object') kept = rest.block
        steps.push({ key: end, value: !isMoved && typeof rest === 'object' ? this.#copyOf(rest) : rest })
      }
    }
    this.isChanged = true
    this.regions.push([from, to])
    path.change(this.removed)
    const ranges = this.removed.ranges
    for (let slot = first; slot < behind; slot++) this.removed.boundary(values[slot], kept)
    this.size -= this.removed.ranges - ranges
    for (const step of steps) if (step.value !== undefined) this.size++
    keys.splice(first, behind - first, ...steps.map(({ key }) => key))
    values.splice(first, behind - first, ...steps.map((step) => step.value))
    this.#splitAlong(path)
    return true
  }
  /** Cuts the nodes of a way in two that have become too large. */
  #splitAlong({ nodes, slots }: DraftPath<K, V>): void {
    for (const [level, node] of nodes.entries()) {
      const sibling = this.#halve(node)
      if (sibling === undefined) return
      const above = nodes[level + 1]
      if (above === undefined) this.root = this.#above(node, sibling)
      else {
        const slot = (slots[level + 1] ?? 0) + 1
        above.keys.splice(slot, 0, sibling.keys[0] as K)
        above.children.splice(slot, 0, sibling)
      }
    }
  }

  #applyAcross({ from, to, value }: Change<K>): void {
    const { keys } = this.#shape
    if (this.#isThere(from, to, value)) return
    this.isChanged = true
    this.regions.push([from, to])
    const isFirst = keys.compare(from, keys.least) === 0
    const end = keys.after(to)
    const before = isFirst ? undefined : this.#stepAt(keys.before(from)).value
    const rest = end === undefined ? undefined : this.#restAt(end, from)
    this.#kept = rest?.block ?? 0
    this.#remove(from, end)
    this.#kept = 0
    if (!isFirst && this.root === 0) this.#insert(keys.least, undefined)
    if (isFirst || !this.#isEqual(before, value)) this.#insert(from, value)
    if (rest === undefined || end === undefined) return
    if (!this.#isEqual(value, rest.value)) this.#insert(end, rest.value)
    else if (rest.block !== 0) this.removed.objects.push(rest.block)
  }

  /** Takes everything away. */
  clear(): void {
    if (this.root === 0) return
    this.isChanged = true
    const { least, greatest } = this.#shape.keys
    this.regions.push([least, greatest])
    this.removed.tree(this.root)
    this.root = 0
    this.size = 0
  }

  #isEqual(one: Stored, other: Stored): boolean {
    return this.#shape.values.isEqual(this.#shape.memory, one, other)
  }
  /** Whether all of a range has this value, and is one range. */
  #isThere(from: K, to: K, value: Stored): boolean {
    if (this.root === 0) return value === undefined
    const step = this.#stepAt(from)
    return this.#isEqual(step.value, value) && this.#shape.keys.compare(step.key, this.#stepAt(to).key) === 0
  }

  /**
   * The value behind a range that begins at `from`. If its block is that of a boundary which is
   * taken away, it is `block`; else the value is a copy.
   */
  #restAt(end: K, from: K): { readonly value: Stored; readonly block: number } {
    const { key, value } = this.#stepAt(end)
    if (typeof value !== 'object') return { value, block: 0 }
    if (this.#shape.keys.compare(key, from) >= 0) return { value, block: value.block }
    return { value: this.#copyOf(value), block: 0 }
  }
  #copyOf(value: Block): Block {
    return { block: 0, bytes: bytesOf(this.#shape.memory, value) }
  }

  /** The last boundary that is not behind a key. */
  #stepAt(key: K): Step<K> {
    const shape = this.#shape
    let node = this.root
    if (node === 0) return { key: shape.keys.least, value: undefined }
    while (typeof node !== 'number') {
      const slot = Math.max(0, this.#behind(node.keys, key) - 1)
      if (node.level === 0) return { key: node.keys[slot] as K, value: node.values[slot] }
      node = node.children[slot] as number | Draft<K>
    }
    const finder = this.#finder
    finder.descend(node * 2, levelAt(shape, node), key)
    const { node: leaf, slot } = finder
    return { key: shape.keys.peek(shape.memory, leaf, slot), value: storedAt(shape, leaf, slot) }
  }

  /** The first index of keys that are behind this one. */
  #behind(list: readonly K[], key: K): number {
    return indexBehind(this.#shape.keys.compare, list, key)
  }
  /** The first index of keys that are this one, or behind it. */
  #notBefore(list: readonly K[], key: K): number {
    const index = this.#behind(list, key)
    return index > 0 && this.#shape.keys.compare(list[index - 1] as K, key) === 0 ? index - 1 : index
  }

  #open(node: number | Draft<K>): Draft<K> {
    return typeof node === 'number' ? draftOf(this.#shape, node) : node
  }
  #openChild({ children }: Draft<K>, slot: number): Draft<K> {
    const child = this.#open(children[slot] as number | Draft<K>)
    children[slot] = child
    return child
  }

  /** Takes all boundaries from `low` to `high`, or to the end, away. */
  #remove(low: K, high: K | undefined): void {
    if (this.root === 0) return
    const ranges = this.removed.ranges
    const root = this.#open(this.root)
    this.#removeIn(root, low, high, undefined)
    this.root = root.keys.length === 0 ? 0 : root
    this.size -= this.removed.ranges - ranges
  }
  /** `bound`: the boundary behind all of the node. */
  #removeIn(draft: Draft<K>, low: K, high: K | undefined, bound: K | undefined): void {
    const { keys, values, children, level } = draft
    if (level === 0) {
      const first = this.#notBefore(keys, low)
      const end = high === undefined ? keys.length : this.#behind(keys, high)
      if (first >= end) return
      this.removed.change(draft)
      for (let slot = first; slot < end; slot++) this.removed.boundary(values[slot], this.#kept)
      keys.splice(first, end - first)
      values.splice(first, end - first)
      return
    }
    const { compare } = this.#shape.keys
    for (let slot = Math.max(0, this.#behind(keys, low) - 1); slot < keys.length;) {
      const key = keys[slot] as K
      if (high !== undefined && compare(key, high) > 0) return
      const next = slot + 1 < keys.length ? keys[slot + 1] : bound
      const endsInside = high === undefined || (next !== undefined && compare(next, high) <= 0)
      let isEmpty = true
      if (compare(key, low) >= 0 && endsInside) this.removed.tree(children[slot] ?? 0, this.#kept)
      else {
        const child = this.#openChild(draft, slot)
        this.#removeIn(child, low, high, next)
        if (child.isChanged) this.removed.change(draft)
        isEmpty = child.keys.length === 0
        if (!isEmpty) keys[slot] = child.keys[0] as K
      }
      if (isEmpty) {
        this.removed.change(draft)
        keys.splice(slot, 1)
        children.splice(slot, 1)
      } else slot++
    }
  }

  /** Puts a boundary that is not there. */
  #insert(key: K, value: Stored): void {
    if (value !== undefined) this.size++
    if (this.root === 0) {
      this.root = newDraft(0, { keys: [key], values: [value] })
      return
    }
    const root = this.#open(this.root)
    const sibling = this.#insertIn(root, key, value)
    this.root = sibling === undefined ? root : this.#above(root, sibling)
  }
  #above(first: Draft<K>, second: Draft<K>): Draft<K> {
    return newDraft(first.level + 1, {
      keys: [first.keys[0] as K, second.keys[0] as K],
      children: [first, second],
    })
  }
  /** Returns the second half of a node that is too large. */
  #insertIn(draft: Draft<K>, key: K, value: Stored): Draft<K> | undefined {
    const { keys, values, children, level } = draft
    this.removed.change(draft)
    const slot = this.#behind(keys, key)
    if (level === 0) {
      keys.splice(slot, 0, key)
      values.splice(slot, 0, value)
    } else {
      const below = Math.max(0, slot - 1)
      const child = this.#openChild(draft, below)
      const sibling = this.#insertIn(child, key, value)
      keys[below] = child.keys[0] as K
      if (sibling !== undefined) {
        keys.splice(below + 1, 0, sibling.keys[0] as K)
        children.splice(below + 1, 0, sibling)
      }
    }
    return this.#halve(draft)
  }
  /** The second half of a node that is too large, which is taken away from it. */
  #halve({ level, keys, values, children }: Draft<K>): Draft<K> | undefined {
    if (keys.length <= this.#capacity) return undefined
    const half = keys.length >>> 1
    return newDraft(level, {
      keys: keys.splice(half),
      values: values.splice(half),
      children: children.splice(half),
    })
  }

  /** Joins nodes that have become small with their neighbours. Without ranges there are none. */
  settle(): void {
    if (this.size === 0 && this.root !== 0) {
      this.removed.tree(this.root)
      this.root = 0
    }
    if (typeof this.root === 'number') return
    this.#settleBelow(this.root)
    while (typeof this.root !== 'number' && this.root.level > 0 && this.root.children.length === 1) {
      this.removed.change(this.root)
      this.root = this.root.children[0] as number | Draft<K>
    }
  }
  #settleBelow(draft: Draft<K>): void {
    const { keys, children, level } = draft
    if (level === 0 || !draft.isChanged) return
    for (const child of children) if (typeof child !== 'number') this.#settleBelow(child)
    for (let slot = 0; slot + 1 < children.length;) {
      const [first, second] = [children[slot] ?? 0, children[slot + 1] ?? 0]
      // Others are as they were, and need not be looked at.
      const isNew = typeof first !== 'number' || typeof second !== 'number'
      if (!isNew || !this.#isTooSmall(this.#countOf(first), this.#countOf(second))) {
        slot++
        continue
      }
      const into = this.#openChild(draft, slot)
      const from = this.#open(second)
      for (const changed of [into, from]) this.removed.change(changed)
      into.keys.push(...from.keys)
      into.values.push(...from.values)
      into.children.push(...from.children)
      keys.splice(slot + 1, 1)
      children.splice(slot + 1, 1)
    }
  }
  #isTooSmall(one: number, other: number): boolean {
    return Math.min(one, other) < this.#capacity >>> 2 && one + other <= this.#capacity
  }
  #countOf(node: number | Draft<K>): number {
    return typeof node === 'number' ? countOf(this.#shape.memory, node * 2) : node.keys.length
  }
}

function levelAt<K, V>({ memory }: Shape<K, V>, node: number): number {
  return levelOf(memory, node * 2)
}
