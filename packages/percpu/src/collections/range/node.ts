/** Nodes: how they are written before anybody finds them, and read. */
import * as mem from '#mem'
import type { Memory } from '#mem'
import { KEYS, type KeyKind } from './keys.js'
import type { Positions } from './positions.js'
import { COUNT_BITS, RangeNode } from './range-layout.js'
import type { Stored, ValueKind } from './values.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, store32 } = mem
const { head: headField, present: presentField } = RangeNode.words
const countMask = 2 ** COUNT_BITS - 1

/** What the keys and values of a map are. */
export interface Shape<K, V> {
  readonly memory: Memory
  readonly keys: KeyKind<K>
  readonly values: ValueKind<V>
  /** What the index of a large version sees of keys, if it has one. */
  readonly positions: Positions<K> | undefined
  /** Whether keys have 32 bits. */
  readonly isNarrow: boolean
}

/** How many keys a node has, by its word index. */
export function countOf({ i32 }: Memory, node: number): number {
  return load32(i32, node + headField) & countMask
}
export function levelOf({ i32 }: Memory, node: number): number {
  return load32(i32, node + headField) >>> COUNT_BITS
}
/** Whether a boundary of a leaf has a value. */
export function hasValue({ i32 }: Memory, leaf: number, slot: number): boolean {
  return ((load32(i32, leaf + presentField + (slot >>> 5)) >>> (slot & 31)) & 1) === 1
}
/** How many boundaries of a leaf have one. */
export function countValues(memory: Memory, leaf: number): number {
  let sum = 0
  for (let slot = countOf(memory, leaf) - 1; slot >= 0; slot--) if (hasValue(memory, leaf, slot)) sum++
  return sum
}

/** Word index of a value of a leaf. */
export function valueWord<K, V>({ memory, keys, values }: Shape<K, V>, leaf: number, slot: number): number {
  return leaf + KEYS + countOf(memory, leaf) * keys.words + slot * values.words
}
/** The value of a boundary of a leaf, as it is stored. */
export function storedAt<K, V>(shape: Shape<K, V>, leaf: number, slot: number): Stored {
  if (!hasValue(shape.memory, leaf, slot)) return undefined
  return shape.values.load(shape.memory, valueWord(shape, leaf, slot))
}
/** The reference of a child of an inner node. */
export function childOf<K, V>({ memory, keys }: Shape<K, V>, node: number, slot: number): number {
  return load32(memory.i32, node + KEYS + countOf(memory, node) * keys.words + slot)
}

/** Bytes of a node with these keys. */
export function nodeBytes<K, V>({ keys, values }: Shape<K, V>, level: number, list: readonly K[]): number {
  const words = KEYS + list.length * (keys.words + (level === 0 ? values.words : 1))
  return words * 4 + keys.extraBytes(list)
}
/** Fills a leaf, by its word index, which nobody else knows. What is in blocks has them. */
export function fillLeaf<K, V>(
  shape: Shape<K, V>,
  leaf: number,
  list: readonly K[],
  held: readonly Stored[],
): void {
  const { memory, keys, values } = shape
  const count = list.length
  const present = [0, 0]
  const first = leaf + KEYS + count * keys.words
  for (const [slot, value] of held.entries()) {
    if (value !== undefined) present[slot >>> 5] = (present[slot >>> 5] ?? 0) | (1 << (slot & 31))
    values.store(memory, first + slot * values.words, value)
  }
  fillHead(memory, leaf, count, 0, present)
  keys.write(memory, leaf, list, first + count * values.words)
}
/** Fills an inner node, by its word index, which nobody else knows. */
export function fillInner<K, V>(
  { memory, keys }: Shape<K, V>,
  node: number,
  level: number,
  list: readonly K[],
  children: readonly number[],
): void {
  const count = list.length
  const first = node + KEYS + count * keys.words
  for (const [slot, child] of children.entries()) store32(memory.i32, first + slot, child)
  fillHead(memory, node, count, level, [0, 0])
  keys.write(memory, node, list, first + count)
}
function fillHead(
  { i32 }: Memory,
  node: number,
  count: number,
  level: number,
  present: readonly number[],
): void {
  store32(i32, node + headField, count | (level << COUNT_BITS))
  for (const [i, bits] of present.entries()) store32(i32, node + presentField + i, bits)
}

/** All keys of a node, as `peek` gives them. */
export function keysOf<K, V>({ memory, keys }: Shape<K, V>, node: number): K[] {
  const list: K[] = []
  for (let slot = 0, count = countOf(memory, node); slot < count; slot++)
    list.push(keys.peek(memory, node, slot))
  return list
}
