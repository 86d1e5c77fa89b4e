/**
 * A table of texts in shared memory, each once, by numbers from 1 on.
 *
 *     count            text 1 │ text 2 │ …        the text first, then the count
 *
 * Any thread reads. One at a time adds: the CPU that the table belongs to, or the holder of a lock.
 * A thread killed between the text and the count has added nothing.
 */
import { copyIn, copyOut, loadAtomic32, loadU32, storeAtomic32, storeU32, type Memory } from '#mem'
import { decodeText } from '../text.js'
import { Label } from './vpa-layout.js'

export class LabelTable {
  readonly #memory: Memory
  readonly #count: number
  readonly #first: number
  readonly #capacity: number

  /** `count`, `first`: word indices of the count and of the first {@link Label}. */
  constructor(memory: Memory, count: number, first: number, capacity: number) {
    this.#memory = memory
    this.#count = count
    this.#first = first
    this.#capacity = capacity
  }

  get count(): number {
    // VB(label.count) pairs with VA in add: the texts up to this number may be read. Mutant:
    // watch/label-count-first.
    return loadAtomic32(this.#memory.i32, this.#count)
  }

  /** The text with this number; undefined if there is none. */
  text(number: number): string | undefined {
    if (number <= 0 || number > this.count) return undefined
    const entry = this.#entry(number)
    const length = loadU32(this.#memory.u32, entry + Label.words.length)
    return decodeText(copyOut(this.#memory, entry * 4 + Label.offsets.text, length))
  }

  /** The number of a text; undefined if the table does not have it. */
  find(text: string): number | undefined {
    const { count } = this
    for (let number = 1; number <= count; number++) if (this.text(number) === text) return number
    return undefined
  }

  /**
   * Adds a text of at most LABEL_TEXT bytes, which must be new. Returns its number, or 0 if the
   * table is full.
   */
  add(bytes: Uint8Array): number {
    const number = this.count + 1
    if (number > this.#capacity) return 0
    const entry = this.#entry(number)
    copyIn(this.#memory, entry * 4 + Label.offsets.text, bytes)
    storeU32(this.#memory.u32, entry + Label.words.length, bytes.length)
    // VA(label.count) publishes the text; pairs with VB in count: it never changes, and is
    // everybody's to read. Mutant: watch/label-count-first.
    storeAtomic32(this.#memory.i32, this.#count, number)
    return number
  }

  #entry(number: number): number {
    return this.#first + ((number - 1) * Label.stride) / 4
  }
}
