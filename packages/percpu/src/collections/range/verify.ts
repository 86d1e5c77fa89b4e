/** A map of ranges as watchers see it, and the check of all its words. */
import { load32 } from '#mem'
import { ForeignAddressError } from '../../alloc/errors.js'
import type { Heap } from '../../alloc/heap.js'
import { isPersistent } from '../../alloc/tag.js'
import { shown } from '../../machine/check.js'
import { MapCorruptionError } from '../errors.js'
import { childOf, countOf, countValues, levelOf, storedAt, type Shape } from './node.js'
import type { Stored } from './values.js'
import { eachPage, wordOfValue } from './index-pages.js'
import { WALK } from './index-words.js'
import { partsOf } from './reserve.js'
import { emptyOf, heightOf, indexOf, isIndexed, numberOf, reserveOf, rootOf, sizeOf } from './version.js'

/** How large a map of ranges is. */
export interface RangeMapReport {
  readonly name: string
  readonly ranges: number
  /** Nodes, and how many are above each other. */
  readonly nodes: number
  readonly height: number
  /** Memory that it takes, without values in blocks of their own. */
  readonly bytes: number
  /** How many times it was changed, modulo 2^32. */
  readonly version: number
}

export function describeRangeMap<K, V>(
  name: string,
  shape: Shape<K, V>,
  heap: Heap,
  version: number,
): RangeMapReport {
  const { tags } = heap
  const { memory } = shape
  const root = rootOf(memory, version)
  let nodes = 0
  let bytes = version === 0 ? 0 : tags.bytesOf(version * 8)
  const visit = (node: number): void => {
    nodes++
    bytes += tags.bytesOf(node * 8)
    if (levelOf(memory, node * 2) === 0) return
    for (let slot = 0; slot < countOf(memory, node * 2); slot++) visit(childOf(shape, node * 2, slot))
  }
  if (root !== 0) visit(root)
  for (const object of partsOf(memory, reserveOf(memory, version))) bytes += tags.bytesOf(object * 8)
  for (const word of indexOf(memory, version) ?? [])
    eachPage(memory, word, (page) => (bytes += tags.bytesOf(page * 8)))
  return {
    name,
    ranges: sizeOf(memory, version),
    nodes,
    height: root === 0 ? 0 : heightOf(memory, version) + 1,
    bytes,
    version: numberOf(memory, version),
  }
}

/** @throws MapCorruptionError. */
export function verifyRangeMap<K, V>(name: string, shape: Shape<K, V>, heap: Heap, version: number): void {
  const check = new Check(shape, heap)
  if (version !== 0) check.version(version)
  const { faults } = check
  if (faults.length === 0) return
  throw new MapCorruptionError(`the map of ranges ${shown(name)} is corrupt: ${faults.join('; ')}`, {
    name,
    faults,
  })
}

class Check<K, V> {
  readonly faults: string[] = []
  readonly #shape: Shape<K, V>
  readonly #heap: Heap
  readonly #blocks = new Set<number>()
  #ranges = 0
  /** Reference of the version, if it has an index. */
  #indexed = 0
  /** The boundary before, and its value. */
  #before: { readonly key: K; readonly value: Stored } | undefined

  constructor(shape: Shape<K, V>, heap: Heap) {
    this.#shape = shape
    this.#heap = heap
  }

  version(version: number): void {
    const { memory } = this.#shape
    this.#object(version, 'the version')
    const root = rootOf(memory, version)
    const empty = emptyOf(memory, version)
    if (empty !== 0) this.#object(empty, 'the version that is to be empty')
    if ((empty === 0) !== (root === 0)) this.faults.push('there are ranges, and no version without them')
    const reserve = reserveOf(memory, version)
    if (reserve !== 0 && root === 0) this.faults.push('there is a reserve, and no range')
    for (const object of partsOf(memory, reserve)) this.#object(object, 'what is kept for full memory')
    if (isIndexed(memory, version * 2)) this.#indexed = version
    for (const word of indexOf(memory, version) ?? [])
      eachPage(memory, word, (page) => void this.#object(page, 'a page of the index'))
    if (root !== 0) this.#node(root, heightOf(memory, version), undefined)
    if (this.#before) this.#word(this.#before.key, this.#shape.keys.greatest, this.#before.value)
    const size = sizeOf(memory, version)
    if (size !== this.#ranges) this.faults.push(`there are ${this.#ranges} ranges, and ${size} are counted`)
    if (root !== 0 && size === 0) this.faults.push('there are nodes without ranges')
  }

  /** `first`: the key by which its parent knows it. */
  #node(reference: number, level: number, first: K | undefined): void {
    const shape = this.#shape
    const { memory, keys } = shape
    const node = reference * 2
    const where = `node ${reference}`
    if (!this.#object(reference, where)) return
    const count = countOf(memory, node)
    if (levelOf(memory, node) !== level)
      this.faults.push(`${where}: level ${levelOf(memory, node)}, not ${level}`)
    if (count === 0 || count > keys.capacity) this.faults.push(`${where}: ${count} keys`)
    const list = Array.from({ length: count }, (_, slot) => keys.read(memory, node, slot))
    if (first !== undefined && keys.compare(list[0] as K, first) !== 0)
      this.faults.push(`${where}: its first key is not that of its parent`)
    if (level === 0) this.#ranges += countValues(memory, node)
    for (const [slot, key] of list.entries()) {
      if (level > 0) this.#node(childOf(shape, node, slot), level - 1, key)
      else this.#step(key, storedAt(shape, node, slot), `${where}, slot ${slot}`)
    }
  }

  #step(key: K, value: Stored, where: string): void {
    const { memory, keys, values } = this.#shape
    const before = this.#before
    if (before === undefined) {
      if (keys.compare(key, keys.least) !== 0)
        this.faults.push(`${where}: the first key is not the least one`)
    } else {
      if (keys.compare(before.key, key) >= 0) this.faults.push(`${where}: not behind the key before`)
      else this.#word(before.key, keys.before(key), before.value)
      if (values.isEqual(memory, before.value, value)) this.faults.push(`${where}: the value of that before`)
    }
    this.#before = { key, value }
    if (typeof value !== 'object' || !this.#object(value.block, where)) return
    if (this.#blocks.has(value.block)) this.faults.push(`${where}: a block for the second time`)
    this.#blocks.add(value.block)
  }

  /** What the index says of both ends of a step. */
  #word(first: K, last: K, value: Stored): void {
    const { memory, positions } = this.#shape
    if (this.#indexed === 0 || positions === undefined) return
    for (const key of [first, last]) {
      const word = positions.word(memory, this.#indexed, key)
      const expected = wordOfValue(value)
      if (word !== expected && word !== WALK)
        this.faults.push(`the index says ${word} of key ${String(key)}, and not ${expected}`)
    }
  }
  /** Whether it is allocated, for good. */
  #object(reference: number, where: string): boolean {
    const { tags } = this.#heap
    const { i32 } = this.#shape.memory
    const isThere = isSafelyThere(() => isPersistent(load32(i32, tags.wordOf(reference * 8))))
    if (!isThere) this.faults.push(`${where}: what it names is free`)
    return isThere
  }
}

/** False also if nothing starts there. */
function isSafelyThere(test: () => boolean): boolean {
  try {
    return test()
  } catch (error) {
    if (error instanceof ForeignAddressError) return false
    throw error
  }
}
