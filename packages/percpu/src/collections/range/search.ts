/**
 * Looking a key up in one version: plain loads behind the atomic one of `current`.
 *
 * The reader is a synchronous stretch, or a section of the map's domain.
 *
 * Cost: for each level, the loads of about six keys and of a child. There is no branch on what is
 * compared: a wrong guess in every other step would cost several times as much as the step.
 */
import * as mem from '#mem'
import type { Memory, U32View } from '#mem'
import { bytesAt } from './bytes-keys.js'
import { KEYS, type RangeKeyKind } from './keys.js'
import { COUNT_BITS, RangeNode } from './range-layout.js'
import { upperOf, wordsOfWide } from './wide-keys.js'

// Copied out of their module for the compiler, which checks an import at each use.
const { load32, loadF64, loadU32, loadU8 } = mem
const headField = RangeNode.words.head
const countMask = 2 ** COUNT_BITS - 1
const keysField = KEYS

/** The last of `count` words from `first` on that is not above `key`; the first one if all are. */
export function lastNotAbove(u32: U32View, first: number, count: number, key: number): number {
  let at = first
  for (let left = count; left > 1;) {
    const half = left >>> 1
    at = (at + Math.imul(half, Number(loadU32(u32, at + half) <= key))) | 0
    left -= half
  }
  return at
}

/** Finds boundaries of one kind of keys; keeps what it has found. */
export abstract class Finder<K> {
  /** Word index of the node, and the last slot in it whose key is not behind the one looked for. */
  node = 0
  slot = 0

  /**
   * Goes down from a node, by its word index, to the leaf. Of a key before all those of the node it
   * finds slot 0.
   */
  abstract descend(node: number, level: number, key: K): void
  /** The slot in this node. */
  abstract slotIn(node: number, key: K): number
}

function finder32(memory: Memory): Finder<number> {
  return new (class extends Finder<number> {
    descend(top: number, level: number, key: number): void {
      const { i32, u32 } = memory
      let node = top
      for (; ; level--) {
        const count = load32(i32, node + headField) & countMask
        const first = node + keysField
        const slot = lastNotAbove(u32, first, count, key) - first
        if (level === 0) {
          this.node = node
          this.slot = slot
          return
        }
        node = load32(i32, first + count + slot) * 2
      }
    }
    slotIn(node: number, key: number): number {
      const first = node + keysField
      return lastNotAbove(memory.u32, first, load32(memory.i32, node + headField) & countMask, key) - first
    }
  })()
}

/** `isBehind`: whether the key of a slot lies behind the one looked for. `words`: of a key. */
abstract class SlowFinder<K> extends Finder<K> {
  readonly #memory: Memory
  readonly #words: number

  constructor(memory: Memory, words: number) {
    super()
    this.#memory = memory
    this.#words = words
  }
  /** What {@link isBehind} compares with from now on. */
  protected abstract take(key: K): void
  protected abstract isBehind(node: number, slot: number): boolean

  descend(top: number, level: number, key: K): void {
    const { i32 } = this.#memory
    this.take(key)
    let node = top
    for (; ; level--) {
      const count = load32(i32, node + headField) & countMask
      const slot = this.#slotIn(node, count)
      if (level === 0) {
        this.node = node
        this.slot = slot
        return
      }
      node = load32(i32, node + keysField + count * this.#words + slot) * 2
    }
  }
  slotIn(node: number, key: K): number {
    this.take(key)
    return this.#slotIn(node, load32(this.#memory.i32, node + headField) & countMask)
  }
  #slotIn(node: number, count: number): number {
    let slot = 0
    while (count > 1) {
      const half = count >>> 1
      if (!this.isBehind(node, slot + half)) slot += half
      count -= half
    }
    return slot
  }
}

function finder53(memory: Memory): Finder<number> {
  return new (class extends SlowFinder<number> {
    #high = 0
    #low = 0
    protected take(key: number): void {
      this.#high = Math.floor(key / 2 ** 32)
      this.#low = key >>> 0
    }
    protected isBehind(node: number, slot: number): boolean {
      const { u32 } = memory
      const word = node + keysField + slot * 2
      const high = loadU32(u32, word)
      return high > this.#high || (high === this.#high && loadU32(u32, word + 1) > this.#low)
    }
  })(memory, 2)
}

/**
 * The last slot of a node whose key of 128 bits is not above one; the first one if all are.
 * `begin`: word index of its keys; `upper`: upper bits of the key; `words`: all of it.
 */
function slotOfWide(
  { f64, u32 }: Memory,
  begin: number,
  count: number,
  upper: number,
  words: Uint32Array,
): number {
  const first = begin >>> 1
  let at = first
  for (let left = count; left > 1;) {
    const half = left >>> 1
    at = (at + Math.imul(half, Number(loadF64(f64, at + half) <= upper))) | 0
    left -= half
  }
  const slot = at - first
  const lower = (begin + count * 2) | 0
  if (loadF64(f64, at) !== upper || !isLowerAbove(u32, lower + slot * 3, words)) return slot
  // Among those with the same upper bits.
  let low = 0
  for (let left = slot; left > 1;) {
    const half = left >>> 1
    const middle = low + half
    if (loadF64(f64, first + middle) < upper || !isLowerAbove(u32, lower + middle * 3, words)) low = middle
    left -= half
  }
  return low
}
/** Whether the lower words at an index are above those of a key. */
function isLowerAbove(u32: U32View, word: number, words: Uint32Array): boolean {
  for (let index = 1; index < 4; index++) {
    const found = loadU32(u32, word + index - 1)
    const wanted = words[index] ?? 0
    if (found !== wanted) return found > wanted
  }
  return false
}

function finder128(memory: Memory): Finder<bigint> {
  return new (class extends Finder<bigint | Uint32Array> {
    descend(top: number, level: number, key: bigint | Uint32Array): void {
      const { i32 } = memory
      const words = wordsOfWide(key)
      const upper = upperOf(words[0] ?? 0, words[1] ?? 0)
      let node = top
      for (; ; level--) {
        const count = load32(i32, node + headField) & countMask
        const first = node + keysField
        const slot = slotOfWide(memory, first, count, upper, words)
        if (level === 0) {
          this.node = node
          this.slot = slot
          return
        }
        node = load32(i32, first + count * 5 + slot) * 2
      }
    }
    slotIn(node: number, key: bigint | Uint32Array): number {
      const words = wordsOfWide(key)
      const upper = upperOf(words[0] ?? 0, words[1] ?? 0)
      return slotOfWide(
        memory,
        node + keysField,
        load32(memory.i32, node + headField) & countMask,
        upper,
        words,
      )
    }
  })()
}

function finderOfBytes(memory: Memory): Finder<Uint8Array> {
  return new (class extends SlowFinder<Uint8Array> {
    #key = new Uint8Array(0)
    protected take(key: Uint8Array): void {
      this.#key = key as Uint8Array<ArrayBuffer>
    }
    protected isBehind(node: number, slot: number): boolean {
      const key = this.#key
      const { at, length } = bytesAt(memory, node, slot)
      const shorter = Math.min(length, key.length)
      for (let i = 0; i < shorter; i++) {
        const difference = loadU8(memory.bytes, at + i) - (key[i] ?? 0)
        if (difference !== 0) return difference > 0
      }
      return length > key.length
    }
  })(memory, 1)
}

const finders = { u32: finder32, u53: finder53, u128: finder128, bytes: finderOfBytes }

export function finderOf<K>(kind: RangeKeyKind, memory: Memory): Finder<K> {
  return finders[kind](memory) as unknown as Finder<K>
}
