/** What is new in a version: made before anybody finds it, and given back if that fails. */
import { freeAfter } from '../../alloc/free-after.js'
import type { Heap } from '../../alloc/heap.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import type { Draft } from './draft.js'
import { fillInner, fillLeaf, nodeBytes, type Shape } from './node.js'
import { blockBytes, bytesOf, fillBlock, type Stored } from './values.js'

/** On a line of their own: few lines are touched. */
const ofNode = { align: 64 } as const

/** What is kept for when memory is full: reserve.ts. */
export interface Reserve {
  /** References. */
  readonly objects: readonly number[]
  /** Bytes of each. */
  readonly bytes: number
}

/** What is new is in flight. What is of a reserve is the old version's, until that is replaced. */
export class Fresh<K, V> {
  /** References, in the order in which they were made. */
  readonly objects: number[] = []
  /** References of what was used of a reserve. */
  readonly used: number[] = []
  readonly #heap: Heap
  readonly #shape: Shape<K, V>
  /** What is left of a reserve, for when memory is full. */
  #left: number[] = []
  #leftBytes = 0

  constructor(heap: Heap, shape: Shape<K, V>) {
    this.#heap = heap
    this.#shape = shape
  }

  /** From now on what memory has no room for is of this reserve. */
  allow({ objects, bytes }: Reserve): void {
    this.#left = [...objects]
    this.#leftBytes = bytes
  }

  /** A reference. @throws OutOfMemoryError; LockTimeoutError. */
  take(bytes: number, request?: { readonly align: number }): number {
    try {
      return this.takeNew(bytes, request)
    } catch (error) {
      const spare =
        error instanceof OutOfMemoryError && bytes <= this.#leftBytes ? this.#left.pop() : undefined
      if (spare === undefined) throw error
      this.used.push(spare)
      return spare
    }
  }
  /** As {@link take}, of no reserve. */
  takeNew(bytes: number, request?: { readonly align: number }): number {
    const reference = this.#alloc(bytes, request) / 8
    this.objects.push(reference)
    return reference
  }
  #alloc(bytes: number, request: { readonly align: number } | undefined): number {
    try {
      return this.#heap.alloc(bytes, request)
    } catch (error) {
      throw error instanceof OutOfMemoryError ? noRoom(bytes, error) : error
    }
  }
  /** It is part of a version that others find: {@link free} frees nothing of it any more. */
  published(): void {
    this.objects.length = 0
    this.used.length = 0
  }
  /** Gives all of it back, but for the first `kept`. */
  free(kept = 0): void {
    for (const reference of this.objects.splice(kept)) this.#heap.free(reference * 8)
  }
  /** What `make` makes is there, or nothing of it. @throws what `make` throws. */
  whole<Made>(make: () => Made): Made {
    const made = this.objects.length
    const used = this.used.length
    try {
      return make()
    } catch (error) {
      this.#left.push(...this.used.splice(used))
      freeAfter(error, () => {
        this.free(made)
      })
    }
  }

  /** The reference of the node that a draft becomes. @throws as {@link take}. */
  node(draft: number | Draft<K>): number {
    if (typeof draft === 'number') return draft
    const { level, keys, values, children, origin, isChanged } = draft
    if (!isChanged) return origin
    return level === 0
      ? this.leaf(keys, values)
      : this.inner(
          level,
          keys,
          children.map((child) => this.node(child)),
        )
  }
  leaf(keys: readonly K[], values: readonly Stored[]): number {
    const shape = this.#shape
    const held = values.map((value) => this.#inBlock(value))
    const leaf = this.take(nodeBytes(shape, 0, keys), ofNode)
    fillLeaf(shape, leaf * 2, keys, held)
    return leaf
  }
  inner(level: number, keys: readonly K[], children: readonly number[]): number {
    const node = this.take(nodeBytes(this.#shape, level, keys), ofNode)
    fillInner(this.#shape, node * 2, level, keys, children)
    return node
  }
  /** One that shall lie in a block does. */
  #inBlock(value: Stored): Stored {
    if (typeof value !== 'object' || value.block !== 0) return value
    const { memory } = this.#shape
    const bytes = bytesOf(memory, value)
    const block = this.take(blockBytes(bytes))
    fillBlock(memory, block, bytes)
    return { block, bytes: undefined }
  }
}

/** @returns what says that a version needs so many bytes. */
export function noRoom(bytes: number, cause?: OutOfMemoryError): OutOfMemoryError {
  return new OutOfMemoryError(
    `no room for ${bytes} bytes of a new version: what was replaced is free once each thread has returned to its event ` +
      'loop (await map.barrier()); make many changes in one `batch`, or boot with more `memory`',
    { ...cause?.details, bytes },
    cause && { cause },
  )
}
