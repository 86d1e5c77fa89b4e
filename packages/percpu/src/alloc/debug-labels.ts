/** What objects are labelled with in debug mode: texts in shared memory, each once, and their numbers. */
import { addAtomic32, copyIn, copyOut, loadAtomic32, loadU32, storeU32 } from '#mem'
import { ArgumentError } from '../errors.js'
import { shown } from '../machine/check.js'
import { decodeText, encodeText } from '../machine/platform.js'
import type { Owner } from './owner.js'
import { ALLOC_LABEL_BYTES, AllocLabel, HeapRoot, MAX_ALLOC_LABELS } from './layouts.js'

const { words, offsets } = AllocLabel

/** Whether it is read back as what it is: half a surrogate pair would not be, and not be found again. */
export function isText(text: unknown, maxBytes: number): text is string {
  if (typeof text !== 'string') return false
  const bytes = encodeText(text)
  return bytes.length > 0 && bytes.length <= maxBytes && decodeText(bytes) === text
}

export class AllocLabels {
  readonly #owner: Owner
  readonly #numbers = new Map<string, number>()

  constructor(owner: Owner) {
    this.#owner = owner
  }

  /** The number of a text, from 1 on; 0, for none, when all numbers are in use. */
  number(text: string): number {
    const known = this.#numbers.get(text)
    if (known !== undefined) return known
    if (!isText(text, ALLOC_LABEL_BYTES)) {
      throw new ArgumentError(
        `label: ${shown(text)} must be text of 1 to ${ALLOC_LABEL_BYTES} bytes of UTF-8`,
        { label: text },
      )
    }
    const number = this.#find(text, 1) ?? this.#add(text, encodeText(text))
    if (number > 0) this.#numbers.set(text, number)
    return number
  }

  text(number: number): string | undefined {
    if (number <= 0 || number > this.#count) return undefined
    const { memory, map } = this.#owner
    const at = map.labels + ((number - 1) * AllocLabel.stride) / 4
    return decodeText(copyOut(memory, at * 4 + offsets.text, loadU32(memory.u32, at + words.length)))
  }

  get #count(): number {
    // E(heap.labels) pairs with F in #add: the texts up to this number may be read. Mutant: alloc/label-counted-first.
    return loadAtomic32(this.#owner.memory.i32, this.#owner.map.root + HeapRoot.words.labels)
  }

  #find(text: string, from: number): number | undefined {
    for (let number = from; number <= this.#count; number++) if (this.text(number) === text) return number
    return undefined
  }

  #add(text: string, bytes: Uint8Array): number {
    const { memory, map, objectLock } = this.#owner
    return objectLock.locked(map.root + HeapRoot.words.lock, () => {
      const number = this.#count + 1
      const found = this.#find(text, 1)
      if (found !== undefined) return found
      if (number > MAX_ALLOC_LABELS) return 0
      const at = map.labels + ((number - 1) * AllocLabel.stride) / 4
      copyIn(memory, at * 4 + offsets.text, bytes)
      storeU32(memory.u32, at + words.length, bytes.length)
      // F(heap.labels) publishes the text; pairs with E in #count: it never changes. Mutant: alloc/label-counted-first.
      addAtomic32(memory.i32, map.root + HeapRoot.words.labels, 1)
      return number
    })
  }
}
