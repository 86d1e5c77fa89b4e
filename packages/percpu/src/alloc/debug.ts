/**
 * The debug mode of the heap (`boot({ debugHeap: true })`). It finds writes outside an object, and
 * writes into a free one.
 *
 *     red zone │ object │ red zone        0xbb around; a free object is 0x6b, one just taken 0x5a
 *
 * Red zones are checked when the object is freed, and a free object when it is taken again. Each
 * object has a *debug word* beside its tag:
 *
 *     bits    31 … 9                            8 … 0
 *             bytes that the object is short    1 + number of its label
 *
 * An object is short by as many bytes as it was asked for with fewer than its cache's objects have.
 * These bytes are red, too. The word is 0 while the object's red zones or its poison are not, or
 * not all, written.
 *
 * Rules: the word belongs to the holder of the object. Cost: some hundred ns an object, and its red
 * zones.
 */
import { fillBytes, load32, loadU8, store32 } from '#mem'
import { cpuOf, incarnationOf } from '../machine/token.js'
import { AllocLabels } from './debug-labels.js'
import { HeapCorruptionError } from './errors.js'
import type { Geometry } from './geometry.js'
import type { Owner } from './owner.js'
import { isAllocated } from './tag.js'
import { visible } from '../shown.js'

/** Bytes of a red zone, at least. */
export const RED_ZONE = 16
const RED = 0xbb
const FREED = 0x6b
const TAKEN = 0x5a
const LABEL_BITS = 9

/** What the debug mode must know of a cache. */
export interface DebuggedCache {
  readonly name: string
  /** Bytes of an object. */
  readonly size: number
  readonly geometry: Geometry
}

export class Debug {
  readonly #owner: Owner
  readonly labels: AllocLabels

  constructor(owner: Owner) {
    this.#owner = owner
    this.labels = new AllocLabels(owner)
  }

  /**
   * An object is being taken, for `bytes`. `tag`: word index of its tag, here and below.
   *
   * @throws HeapCorruptionError if the object was written to while it was free.
   */
  allocated(
    cache: DebuggedCache,
    address: number,
    tag: number,
    label: string | undefined,
    bytes: number,
  ): void {
    const { memory } = this.#owner
    const number = label === undefined ? 0 : this.labels.number(label)
    const [start, end] = bounds(cache, address)
    const fault = this.poisonFault(cache, address, tag)
    if (fault) throw fault
    if (this.#word(cache, tag) === 0) fillBytes(memory, start, address - start, RED)
    fillBytes(memory, address, bytes, TAKEN)
    fillBytes(memory, address + bytes, end - address - bytes, RED)
    this.#setWord(cache, tag, (1 + number) | ((cache.size - bytes) << LABEL_BITS))
  }

  /**
   * An object is being freed. Returns the word that {@link poisoned} is to be given once the object
   * is free. Until then its debug word is 0: another CPU may look at it meanwhile, and this thread
   * may die.
   *
   * @throws HeapCorruptionError if the object's red zones were written to.
   */
  freed(cache: DebuggedCache, address: number, tag: number): number {
    const fault = this.fault(cache, address, tag, load32(this.#owner.memory.i32, tag))
    if (fault) throw fault
    const word = this.#word(cache, tag)
    // Before the poison. Mutant: alloc/poisoned-as-taken.
    this.forget(cache, tag)
    fillBytes(this.#owner.memory, address, cache.size, FREED)
    return Math.max(1, word)
  }
  /** The object is free, and holds poison. */
  poisoned(cache: DebuggedCache, tag: number, word: number): void {
    this.#setWord(cache, tag, word)
  }

  /**
   * What is wrong with the red zones of an object that was allocated, with the tag `found`, when
   * the caller looked. The object may be freed, and taken anew, meanwhile: that is no fault.
   */
  fault(cache: DebuggedCache, address: number, tag: number, found: number): HeapCorruptionError | undefined {
    const word = this.#word(cache, tag)
    let at: number | undefined
    // Twice: between the first look at its bytes and the one at its words, the object may have been
    // freed and taken anew with the same words.
    for (let look = 0; look < 2; look++) {
      at = this.#redBytesChanged(cache, address, word)
      const isSame = this.#word(cache, tag) === word && load32(this.#owner.memory.i32, tag) === found
      if (word === 0 || at === undefined || !isSame) return undefined
    }
    return this.#corrupt(cache, address, at ?? address, 'outside its bytes', tag)
  }

  /** What is wrong with the poison of a free object, which nobody takes meanwhile. */
  poisonFault(cache: DebuggedCache, address: number, tag: number): HeapCorruptionError | undefined {
    if (this.#word(cache, tag) === 0) return undefined
    const at = this.#differs(address, address + cache.size, FREED)
    return at === undefined ? undefined : this.#corrupt(cache, address, at, 'after it was freed', tag)
  }

  /** Bytes that an object was asked for. */
  size(cache: DebuggedCache, tag: number): number {
    return cache.size - (this.#word(cache, tag) >>> LABEL_BITS)
  }

  /** Nothing is known of the object's bytes from now on. */
  forget(cache: DebuggedCache, tag: number): void {
    this.#setWord(cache, tag, 0)
  }

  label(cache: DebuggedCache, tag: number): string | undefined {
    return this.labels.text((this.#word(cache, tag) & ((1 << LABEL_BITS) - 1)) - 1)
  }

  /** The debug word: the words of all objects follow their tags. */
  #word({ geometry }: DebuggedCache, tag: number): number {
    return load32(this.#owner.memory.i32, tag + geometry.objects)
  }
  #setWord({ geometry }: DebuggedCache, tag: number, value: number): void {
    store32(this.#owner.memory.i32, tag + geometry.objects, value)
  }

  #redBytesChanged(cache: DebuggedCache, address: number, word: number): number | undefined {
    const [start, end] = bounds(cache, address)
    const behind = address + cache.size - (word >>> LABEL_BITS)
    return this.#differs(start, address, RED) ?? this.#differs(behind, end, RED)
  }

  #differs(from: number, to: number, expected: number): number | undefined {
    const { bytes } = this.#owner.memory
    for (let at = from; at < to; at++) if (loadU8(bytes, at) !== expected) return at
    return undefined
  }

  #corrupt(
    cache: DebuggedCache,
    address: number,
    at: number,
    when: string,
    tag: number,
  ): HeapCorruptionError {
    const found = load32(this.#owner.memory.i32, tag)
    const label = this.label(cache, tag)
    // Nobody holds a free object; the label is of its last holder.
    const holder = isAllocated(found) ? { cpu: cpuOf(found), incarnation: incarnationOf(found) } : {}
    return new HeapCorruptionError(
      `the object of ${visible(cache.name)} at ${address}${label === undefined ? '' : ` (${visible(label)})`} was written to ${when}: byte ${at - address}`,
      { address, at, cache: cache.name, label, ...holder },
    )
  }
}

/** Where an object's slot begins and ends, red zones included. */
function bounds({ geometry }: DebuggedCache, address: number): readonly [start: number, end: number] {
  const start = address - Math.max(RED_ZONE, geometry.align)
  return [start, start + geometry.stride]
}
