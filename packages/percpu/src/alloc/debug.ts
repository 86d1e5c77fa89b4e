/**
 * The debug mode of the heap (`boot({ debugHeap: true })`): finds what is written outside an object, or into a free one.
 *
 *     red zone │ object │ red zone        0xbb around; a free object is 0x6b, one that was just taken 0x5a
 *
 * Red zones are looked at when the object is freed, a free object when it is taken again. Each object has a word beside its tag:
 * 0 as long as it has no red zones and no poison, or not all of them, else 1 + the number of its label, and from bit 9 on how many bytes less than its
 * cache's objects it was asked for; these are red, too.
 *
 * Rules: the word belongs to whoever holds the object. Cost: some hundred ns an object, and its red zones.
 */
import { fillBytes, load32, loadU8, store32 } from '#mem'
import { cpuOf, incarnationOf } from '../machine/token.js'
import type { Owner } from './owner.js'
import type { Cache } from './cache.js'
import { HeapCorruptionError } from './errors.js'
import { AllocLabels } from './debug-labels.js'
import { isAllocated } from './tag.js'

/** Bytes of a red zone, at least. */
export const RED_ZONE = 16
const RED = 0xbb
const FREED = 0x6b
const TAKEN = 0x5a
const LABEL_BITS = 9

export class Debug {
  readonly #owner: Owner
  readonly labels: AllocLabels

  constructor(owner: Owner) {
    this.#owner = owner
    this.labels = new AllocLabels(owner)
  }

  /** An object is being taken, for `bytes`. @throws HeapCorruptionError if it was written to while it was free. */
  allocated(cache: Cache, address: number, tag: number, label: string | undefined, bytes: number): void {
    const { memory } = this.#owner
    const word = tag + cache.geometry.objects
    const number = label === undefined ? 0 : this.labels.number(label)
    const [start, end] = slotOf(cache, address)
    if (load32(memory.i32, word) === 0) fillBytes(memory, start, address - start, RED)
    else {
      const at = this.#differs(address, address + cache.size, FREED)
      if (at !== undefined) throw this.#corrupt(cache, address, at, 'after it was freed', tag)
    }
    fillBytes(memory, address, bytes, TAKEN)
    fillBytes(memory, address + bytes, end - address - bytes, RED)
    store32(memory.i32, word, (1 + number) | ((cache.size - bytes) << LABEL_BITS))
  }

  /**
   * An object is being freed. Returns what `poisoned` is to be given once it is free: until then nothing is known of its bytes, for those who
   * look at it now, or should the thread die before it is free.
   *
   * @throws HeapCorruptionError if its red zones were written to.
   */
  freed(cache: Cache, address: number, tag: number): number {
    const fault = this.fault(cache, address, tag, load32(this.#owner.memory.i32, tag))
    if (fault) throw fault
    const word = load32(this.#owner.memory.i32, tag + cache.geometry.objects)
    // Before the poison. Mutant: alloc/poisoned-as-taken.
    this.forget(cache, tag)
    fillBytes(this.#owner.memory, address, cache.size, FREED)
    return Math.max(1, word)
  }
  /** The object is free, and holds poison. */
  poisoned(cache: Cache, tag: number, word: number): void {
    store32(this.#owner.memory.i32, tag + cache.geometry.objects, word)
  }

  /**
   * What is wrong with an object that was allocated with this owner when the caller looked: its red zones were written to. It may be freed,
   * and taken anew, meanwhile.
   */
  fault(cache: Cache, address: number, tag: number, owner: number): HeapCorruptionError | undefined {
    const { i32 } = this.#owner.memory
    const word = load32(i32, tag + cache.geometry.objects)
    let at: number | undefined
    // Twice: between the first look at its bytes and the one at these words it may have become what it was before.
    for (let look = 0; look < 2; look++) {
      at = this.#redBytesChanged(cache, address, word)
      const isSame = load32(i32, tag + cache.geometry.objects) === word && load32(i32, tag) === owner
      if (word === 0 || at === undefined || !isSame) return undefined
    }
    return this.#corrupt(cache, address, at ?? address, 'outside its bytes', tag)
  }

  #redBytesChanged(cache: Cache, address: number, word: number): number | undefined {
    const [start, end] = slotOf(cache, address)
    const behind = address + cache.size - (word >>> LABEL_BITS)
    return this.#differs(start, address, RED) ?? this.#differs(behind, end, RED)
  }

  /** Bytes that the object with this tag was asked for. */
  size(cache: Cache, tag: number): number {
    return cache.size - (load32(this.#owner.memory.i32, tag + cache.geometry.objects) >>> LABEL_BITS)
  }

  /** Nothing is known of what the object holds. */
  forget(cache: Cache, tag: number): void {
    store32(this.#owner.memory.i32, tag + cache.geometry.objects, 0)
  }

  /** The label of the object with this tag. */
  label(cache: Cache, tag: number): string | undefined {
    const word = load32(this.#owner.memory.i32, tag + cache.geometry.objects)
    return this.labels.text((word & ((1 << LABEL_BITS) - 1)) - 1)
  }

  #differs(from: number, to: number, expected: number): number | undefined {
    const { bytes } = this.#owner.memory
    for (let at = from; at < to; at++) if (loadU8(bytes, at) !== expected) return at
    return undefined
  }

  #corrupt(cache: Cache, address: number, at: number, when: string, tag: number): HeapCorruptionError {
    const owner = load32(this.#owner.memory.i32, tag)
    const label = this.label(cache, tag)
    // Nobody holds a free object; the label is of who had it last.
    const holder = isAllocated(owner) ? { cpu: cpuOf(owner), incarnation: incarnationOf(owner) } : {}
    return new HeapCorruptionError(
      `the object of ${cache.name} at ${address}${label === undefined ? '' : ` (${label})`} was written to ${when}: byte ${at - address}`,
      { address, at, cache: cache.name, label, ...holder },
    )
  }
}

/** Where the object's bytes and its red zones begin and end. */
function slotOf({ geometry }: Cache, address: number): readonly [number, number] {
  const start = address - Math.max(RED_ZONE, geometry.align)
  return [start, start + geometry.stride]
}
