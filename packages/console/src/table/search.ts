/**
 * A thread's view of the current table: which row holds an address, and what the row says.
 *
 * One look at {@link FlatTable.enter} begins each synchronous stretch; rows found after it stay
 * valid until the thread returns to its event loop or polls, and mean nothing later.
 *
 * A search goes through an index to a handful of rows and bisects those, so that it touches about
 * three cache lines. In the real table an IPv4 bucket has 7 rows on average. Nothing is allocated.
 * Costs are in docs/benchmarks.md, under "table".
 */
import { copyOut, load32, loadF64, loadU32, type F64View, type I32View, type Memory } from 'percpu/mem'
import { NoTableError } from '../errors.js'
import { BIAS, TAIL6_WORDS, ENTRY_WORDS, firstWordOf6, keyOf6, TAIL4_WORDS, TableHeader } from './layout.js'
import { currentTable } from './root.js'

export interface TableSummary {
  readonly generation: number
  /** Bytes of shared memory. */
  readonly size: number
  readonly rows4: number
  readonly rows6: number
  /** Different pairs of AS number and organisation. */
  readonly entries: number
  /** Different organisation names. */
  readonly names: number
}

/** What search and formatting need of a table; addresses are signed 32-bit words, -1 is no row. */
export interface AddressTable {
  /** Generation of the table entered last. */
  readonly generation: number
  /** Bytes of the longest name of that table. */
  readonly longestName: number
  enter(): void
  summary(): TableSummary
  find4(word: number): number
  find6(w0: number, w1: number, w2: number, w3: number): number
  start4(row: number): number
  end4(row: number): number
  entry4(row: number): number
  start6(row: number, word: number): number
  end6(row: number, word: number): number
  entry6(row: number): number
  asn(entry: number): number
  /** The organisation's name. */
  organisation(entry: number): string
  /**
   * Writes the organisation as a JSON string at `at`, and up to three bytes behind it; returns the
   * position behind it.
   */
  writeOrganisation(entry: number, out: DataView, at: number): number
}

const header = TableHeader.words
/** In a row of `tails6`: the start's second word, and the entry. */
const START6 = 4
const ENTRY6 = 7

/** {@link AddressTable} over the layout of layout.ts. */
export class FlatTable implements AddressTable {
  readonly #memory: Memory
  readonly #root: number
  readonly #i32: I32View
  readonly #f64: F64View
  readonly #names = new Map<number, string>()

  // Word indices of the columns of the table entered last.
  #address = 0
  #index4 = 0
  #starts4 = 0
  #tails4 = 0
  #index6 = 0
  #shift6 = 0
  #base6 = 0
  #buckets6 = 0
  #rows6 = 0
  /** Index of a double. */
  #keys6 = 0
  #tails6 = 0
  #entryWords = 0
  #nameText = 0
  generation = 0
  longestName = 0

  /** @param root address of the root (root.ts) */
  constructor(memory: Memory, root: number) {
    this.#memory = memory
    this.#root = root
    this.#i32 = memory.i32
    this.#f64 = memory.f64
  }

  /**
   * Follows the pointer to the current table. About 10 ns when it has not moved.
   *
   * @throws NoTableError before the first table.
   */
  enter(): void {
    const address = currentTable(this.#memory, this.#root)
    // The generation as well: a later table may have come to lie where the one entered last was.
    if (address === this.#address && this.#field(address, header.generation) === this.generation) return
    if (address === 0) throw new NoTableError('no table has been loaded yet', { root: this.#root })
    this.#open(address)
  }

  #open(address: number): void {
    const column = (field: number) => address / 4 + this.#field(address, field)
    this.#names.clear()
    this.#address = address
    this.generation = this.#field(address, header.generation)
    this.longestName = this.#field(address, header.longestName)
    this.#index4 = column(header.index4)
    this.#starts4 = column(header.starts4)
    this.#tails4 = column(header.tails4)
    this.#index6 = column(header.index6)
    this.#shift6 = this.#field(address, header.shift6)
    this.#base6 = this.#field(address, header.base6)
    this.#buckets6 = this.#field(address, header.buckets6)
    this.#rows6 = this.#field(address, header.rows6)
    this.#keys6 = column(header.keys6) / 2
    this.#tails6 = column(header.tails6)
    this.#entryWords = column(header.entryWords)
    this.#nameText = column(header.nameText)
  }

  /** A header field, published with the table. */
  #field(address: number, field: number): number {
    return loadU32(this.#memory.u32, address / 4 + field)
  }

  summary(): TableSummary {
    const field = (name: keyof typeof header) => this.#field(this.#address, header[name])
    return {
      generation: field('generation'),
      size: field('size'),
      rows4: field('rows4'),
      rows6: field('rows6'),
      entries: field('entries'),
      names: field('names'),
    }
  }

  find4(word: number): number {
    const view = this.#i32
    const key = word ^ BIAS
    const bucket = this.#index4 + (word >>> 16)
    const starts = this.#starts4
    // The last row that starts at or before the key is below `high`, and not below `low` - 1.
    let low = load32(view, bucket)
    let high = load32(view, bucket + 1)
    while (low < high) {
      const middle = (low + high) >>> 1
      if (load32(view, starts + middle) <= key) low = middle + 1
      else high = middle
    }
    const row = low - 1
    if (row < 0) return -1
    return load32(view, this.#tails4 + row * TAIL4_WORDS) >= key ? row : -1
  }

  find6(w0: number, w1: number, w2: number, w3: number): number {
    const bucket = (w0 >>> this.#shift6) - this.#base6
    if (bucket < 0) return -1
    const keys = this.#f64
    const first = this.#keys6
    const key = keyOf6(w0, w1)
    let low = this.#rows6
    let high = low
    if (bucket < this.#buckets6) {
      low = load32(this.#i32, this.#index6 + bucket)
      high = load32(this.#i32, this.#index6 + bucket + 1)
    }
    const begin = low
    while (low < high) {
      const middle = (low + high) >>> 1
      if (loadF64(keys, first + middle) <= key) low = middle + 1
      else high = middle
    }
    let row = low - 1
    if (row < 0) return -1
    // Rare: more than one row, or one that starts later, within the same 2^75 addresses.
    if (loadF64(keys, first + row) === key && !this.#startsBefore(row, w1 ^ BIAS, w2 ^ BIAS, w3 ^ BIAS)) {
      row = this.#lastBefore(begin, row, key, w1 ^ BIAS, w2 ^ BIAS, w3 ^ BIAS)
      if (row < 0) return -1
    }
    return this.#reaches6(row, w0 ^ BIAS, w1 ^ BIAS, w2 ^ BIAS, w3 ^ BIAS) ? row : -1
  }

  /**
   * The last row of [low, high) that starts at or before this address, or low - 1; lower words are
   * biased.
   */
  #lastBefore(low: number, high: number, key: number, k1: number, k2: number, k3: number): number {
    while (low < high) {
      const middle = (low + high) >>> 1
      const start = loadF64(this.#f64, this.#keys6 + middle)
      if (start < key || (start === key && this.#startsBefore(middle, k1, k2, k3))) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  /** Whether the row's lower words are at or below these, which are biased. */
  #startsBefore(row: number, k1: number, k2: number, k3: number): boolean {
    const view = this.#i32
    const at = this.#tails6 + row * TAIL6_WORDS + START6
    const s1 = load32(view, at)
    if (s1 !== k1) return s1 < k1
    const s2 = load32(view, at + 1)
    if (s2 !== k2) return s2 < k2
    return load32(view, at + 2) <= k3
  }

  /** Whether the row ends at or behind this address, of biased words. */
  #reaches6(row: number, k0: number, k1: number, k2: number, k3: number): boolean {
    const view = this.#i32
    const at = this.#tails6 + row * TAIL6_WORDS
    const e0 = load32(view, at)
    if (e0 !== k0) return e0 > k0
    const e1 = load32(view, at + 1)
    if (e1 !== k1) return e1 > k1
    const e2 = load32(view, at + 2)
    if (e2 !== k2) return e2 > k2
    return load32(view, at + 3) >= k3
  }

  start4(row: number): number {
    return load32(this.#i32, this.#starts4 + row) ^ BIAS
  }
  end4(row: number): number {
    return load32(this.#i32, this.#tails4 + row * TAIL4_WORDS) ^ BIAS
  }
  entry4(row: number): number {
    return load32(this.#i32, this.#tails4 + row * TAIL4_WORDS + 1)
  }
  start6(row: number, word: number): number {
    if (word === 0) return firstWordOf6(loadF64(this.#f64, this.#keys6 + row))
    return load32(this.#i32, this.#tails6 + row * TAIL6_WORDS + START6 + word - 1) ^ BIAS
  }
  end6(row: number, word: number): number {
    return load32(this.#i32, this.#tails6 + row * TAIL6_WORDS + word) ^ BIAS
  }
  entry6(row: number): number {
    return load32(this.#i32, this.#tails6 + row * TAIL6_WORDS + ENTRY6)
  }
  asn(entry: number): number {
    return load32(this.#i32, this.#entryWords + entry * ENTRY_WORDS) >>> 0
  }

  organisation(entry: number): string {
    let name = this.#names.get(entry)
    if (name === undefined) {
      // Copied out before it is decoded: Node 20 crashes when it decodes shared bytes.
      const bytes = copyOut(this.#memory, this.#nameAt(entry) * 4, this.#nameLength(entry))
      name = JSON.parse(Buffer.from(bytes.buffer).toString('utf8')) as string
      if (this.#names.size >= CACHED_NAMES) this.#names.clear()
      this.#names.set(entry, name)
    }
    return name
  }

  writeOrganisation(entry: number, out: DataView, at: number): number {
    const view = this.#i32
    const from = this.#nameAt(entry)
    const length = this.#nameLength(entry)
    for (let i = 0; i < length; i += 4) out.setInt32(at + i, load32(view, from + (i >> 2)), true)
    return at + length
  }

  /** Word index of the name. */
  #nameAt(entry: number): number {
    return this.#nameText + load32(this.#i32, this.#entryWords + entry * ENTRY_WORDS + 1)
  }
  #nameLength(entry: number): number {
    return load32(this.#i32, this.#entryWords + entry * ENTRY_WORDS + 2)
  }
}

/** Decoded names kept per thread, of the current generation only. */
const CACHED_NAMES = 16_384
