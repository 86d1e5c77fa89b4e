/** Numbers by texts, which are bytes: a table with open addressing, and a hash of FNV-1a. */

/** Of FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
const OFFSET = 0x811c9dc5
const PRIME = 0x01000193

export class TextNumbers {
  /** 1 + the index of a text, or 0. At most half of them are taken. */
  #slots = new Int32Array(1024)
  readonly #texts: Uint8Array[] = []
  readonly #hashes: number[] = []
  readonly #numbers: number[] = []

  /** The number of this text, or undefined. */
  get(text: Uint8Array): number | undefined {
    const index = this.#slots[this.#slotOf(text, hashOf(text))] as number
    return index === 0 ? undefined : this.#numbers[index - 1]
  }
  /** Gives a number to a text that has none. The text must not be changed. */
  add(text: Uint8Array, number: number): void {
    if (this.#texts.length * 2 >= this.#slots.length) this.#grow()
    const hash = hashOf(text)
    this.#texts.push(text)
    this.#hashes.push(hash)
    this.#numbers.push(number)
    this.#slots[this.#slotOf(text, hash)] = this.#texts.length
  }

  /** Where the text is, or would be. */
  #slotOf(text: Uint8Array, hash: number): number {
    const slots = this.#slots
    let slot = hash & (slots.length - 1)
    for (let index = slots[slot] as number; index !== 0; index = slots[slot] as number) {
      if (this.#hashes[index - 1] === hash && isEqual(this.#texts[index - 1] as Uint8Array, text)) break
      slot = (slot + 1) & (slots.length - 1)
    }
    return slot
  }
  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 2)
    this.#hashes.forEach((hash, i) => {
      let slot = hash & (slots.length - 1)
      while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1)
      slots[slot] = i + 1
    })
    this.#slots = slots
  }
}

function hashOf(text: Uint8Array): number {
  let hash = OFFSET | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ (text[i] as number), PRIME)
  return hash ^ (hash >>> 15)
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false
  return true
}
