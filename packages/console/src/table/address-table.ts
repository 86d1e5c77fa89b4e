/**
 * A thread's view of the table: which range holds an address, and what is said of it.
 *
 * Each look-up is of the newest version of its family. Inside {@link AddressTable.hold} all of a
 * family are of one version, also if the thread polls in between. Nothing is allocated for what
 * this thread has seen before.
 */
import type { Machine, RangeView } from 'percpu'
import { USUAL_FIELDS } from './format.js'
import { nothingOf, type Pair, type PairTable } from './lookup-table.js'
import { openTable, rowsOf, type TableMaps } from './maps.js'

export interface TableSummary {
  /** How many tables have been loaded. */
  readonly generation: number
  readonly rows4: number
  readonly rows6: number
  /** Different texts that ranges have. */
  readonly entries: number
  /** Bytes of shared memory. */
  readonly bytes: number
}

/** Texts of pairs that are kept, and the most bytes of such a one. */
const KEPT = 2 ** 17
const KEPT_BYTES = 96
/** Pairs that are kept as objects, and such as are kept as characters. */
const KEPT_OBJECTS = 16_384

export class AddressTable implements PairTable {
  /** What is said of an address in a gap: JSON. */
  readonly nothing: Buffer
  readonly #maps: TableMaps
  #ipv4: TableMaps['ipv4'] | RangeView<number, number>
  #ipv6: TableMaps['ipv6'] | RangeView<bigint, number>
  /**
   * Words of the range that was found last, most significant first: one for each end of an IPv4
   * range, four of an IPv6 range.
   */
  readonly bounds = new Uint32Array(8)
  readonly #point = new Uint32Array(4)
  /** At each place, of a pair with such a number: the number plus 1, its length, its bytes. */
  readonly #numbers = new Int32Array(KEPT)
  readonly #lengths = new Uint8Array(KEPT)
  readonly #texts = new Uint8Array(KEPT * KEPT_BYTES)
  /** The text of the pair that was read last, from `begin` to `end`. */
  text: Uint8Array = this.#texts
  begin = 0
  end = 0
  readonly #objects = new Map<number, Pair>()
  readonly #characters = new Map<number, string>()

  /** @param fields columns of data */
  constructor(machine: Machine, name: string, fields: readonly string[] = USUAL_FIELDS) {
    this.nothing = nothingOf(fields)
    this.#maps = openTable(machine, name)
    this.#ipv4 = this.#maps.ipv4
    this.#ipv6 = this.#maps.ipv6
  }

  /** How many tables have been loaded. */
  get generation(): number {
    // atomic: publish.ts has published the maps before the first one.
    return this.#maps.state.generation.load()
  }
  summary(): TableSummary {
    const { pairs, state } = this.#maps
    const { ipv4, ipv6 } = rowsOf(this.#maps)
    const { bytes } = state
    return {
      generation: this.generation,
      rows4: ipv4,
      rows6: ipv6,
      entries: pairs.size,
      bytes: bytes.load(),
    }
  }
  /** How many times each family's ranges have changed. */
  get versions(): { readonly ipv4: number; readonly ipv6: number } {
    return { ipv4: this.#ipv4.version, ipv6: this.#ipv6.version }
  }

  /**
   * Runs `work`, which is synchronous and may poll, with the versions that there are now. What is
   * replaced meanwhile is freed after it.
   */
  async hold(work: () => void): Promise<void> {
    const { ipv4, ipv6 } = this.#maps
    await ipv4.hold((view4) =>
      ipv6.hold((view6) => {
        this.#ipv4 = view4
        this.#ipv6 = view6
        try {
          work()
        } finally {
          this.#ipv4 = ipv4
          this.#ipv6 = ipv6
        }
      }),
    )
  }

  /** The pair of an IPv4 address, or -1. */
  find4(word: number): number {
    const value = this.#ipv4.locate(word >>> 0, this.bounds)
    return value === undefined ? -1 : value >>> 1
  }
  /** The pair of an IPv6 address, or -1. A `Uint32Array` is not copied. */
  find6(words: ArrayLike<number>): number {
    const value = this.#ipv6.locate(words instanceof Uint32Array ? words : this.#copy(words), this.bounds)
    return value === undefined ? -1 : value >>> 1
  }

  #copy(words: ArrayLike<number>): Uint32Array {
    const point = this.#point
    for (let i = 0; i < 4; i++) point[i] = words[i] as number
    return point
  }

  pair(number: number): Pair {
    let pair = this.#objects.get(number)
    if (pair === undefined) {
      const text = this.#read(number)
      pair = JSON.parse(Buffer.from(text).toString()) as Pair
      if (text === this.nothing) return pair
      if (this.#objects.size >= KEPT_OBJECTS) this.#objects.clear()
      this.#objects.set(number, pair)
    }
    return pair
  }
  pairCharacters(number: number): string {
    let characters = this.#characters.get(number)
    if (characters === undefined) {
      const pair = this.pair(number)
      characters = Buffer.from(JSON.stringify(pair)).toString('latin1')
      // What is said of a pair that is gone is not kept.
      if (!this.#objects.has(number)) return characters
      if (this.#characters.size >= KEPT_OBJECTS) this.#characters.clear()
      this.#characters.set(number, characters)
    }
    return characters
  }
  /** Makes {@link text} that of a pair: JSON. */
  readPair(number: number): void {
    const place = number % KEPT
    this.text = this.#texts
    this.begin = place * KEPT_BYTES
    if (this.#numbers[place] !== number + 1) this.#keep(number, place)
    else this.end = this.begin + (this.#lengths[place] as number)
  }
  #keep(number: number, place: number): void {
    const text = this.#read(number)
    if (text === this.nothing || text.length > KEPT_BYTES) {
      this.text = text
      this.begin = 0
    } else {
      this.#texts.set(text, this.begin)
      this.#lengths[place] = text.length
      this.#numbers[place] = number + 1
    }
    this.end = this.begin + text.length
  }
  #read(number: number): Uint8Array {
    return this.#maps.pairs.get(number) ?? this.nothing
  }
}
