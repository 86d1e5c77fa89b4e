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
  /** Index into {@link Entries}. */
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

/** The different pairs of AS number and organisation, and the different organisation names. */
export class Entries {
  readonly asns = new Column()
  /** Per entry, index into {@link names}. */
  readonly nameOf = new Column()
  readonly names: string[] = []
  readonly #nameIndex = new Map<string, number>()
  /** The entries of each AS: nearly always one. */
  readonly #entriesOf = new Map<number, number[]>()

  /** The entry of this pair, made if it is new. */
  add(asn: number, name: string): number {
    let nameIndex = this.#nameIndex.get(name)
    if (nameIndex === undefined) {
      nameIndex = this.names.push(name) - 1
      this.#nameIndex.set(name, nameIndex)
    }
    let entries = this.#entriesOf.get(asn | 0)
    if (!entries) this.#entriesOf.set(asn | 0, (entries = []))
    for (const entry of entries) if (this.nameOf.at(entry) === nameIndex) return entry
    const entry = this.asns.length
    this.asns.push(asn | 0)
    this.nameOf.push(nameIndex)
    entries.push(entry)
    return entry
  }
}
