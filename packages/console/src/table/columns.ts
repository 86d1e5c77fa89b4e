/** Flips the top bit: the order of unsigned words becomes that of signed ones. */
export const BIAS = 0x8000_0000 | 0

/** A private column of 32-bit words that grows as it is filled. */
export class Column {
  #words: Int32Array
  #length = 0

  constructor(capacity = 1024) {
    this.#words = new Int32Array(capacity)
  }

  get length(): number {
    return this.#length
  }

  at(row: number): number {
    return this.#words[row] as number
  }

  push(word: number): void {
    if (this.#length === this.#words.length) {
      const words = new Int32Array(this.#words.length * 2)
      words.set(this.#words)
      this.#words = words
    }
    this.#words[this.#length++] = word
  }

  /** The words pushed so far; valid until the next push. */
  get words(): Int32Array {
    return this.#words.subarray(0, this.#length)
  }
}

/**
 * The rows of one family's file, in the order of the file. Words of addresses are biased
 * ({@link BIAS}).
 */
export class RangeColumns {
  readonly family: 4 | 6
  /** One column for IPv4; four for IPv6, first word first. */
  readonly starts: readonly Column[]
  readonly ends: readonly Column[]
  /** Index into the texts of {@link Entries}. */
  readonly entries = new Column()
  /** Line of the file, for messages. */
  readonly lines = new Column()

  constructor(family: 4 | 6) {
    this.family = family
    const words = family === 4 ? 1 : 4
    this.starts = Array.from({ length: words }, () => new Column())
    this.ends = Array.from({ length: words }, () => new Column())
  }

  get length(): number {
    return this.lines.length
  }
}

/** What lines say of their ranges, each different text once: JSON. */
export class Entries {
  readonly texts: string[] = []
  readonly #byKey = new Map<string, number>()
  readonly #byText = new Map<string, number>()

  /** The entry of lines with this key, made by `text` if it is new. */
  add(key: string, text: () => string): number {
    let entry = this.#byKey.get(key)
    if (entry === undefined) this.#byKey.set(key, (entry = this.#ofText(text())))
    return entry
  }
  /** Other keys may say the same, such as AS numbers with leading zeros. */
  #ofText(text: string): number {
    let entry = this.#byText.get(text)
    if (entry === undefined) {
      entry = this.texts.push(text) - 1
      this.#byText.set(text, entry)
    }
    return entry
  }
}
