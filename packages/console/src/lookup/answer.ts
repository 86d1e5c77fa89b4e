/** What a lookup says, as an object and as a line of NDJSON. Both forms have the same fields. */
import { ipv4Text, ipv6Text, MAX_ADDRESS_BYTES, writeIpv4, writeIpv6 } from '../address/format.js'
import {
  explainBadAddress,
  isMapped,
  NOT_A_QUAD,
  parseIpv6,
  parseQuad,
  type Address,
} from '../address/parse.js'
import { isNat64, readAddress, STRICT, type AddressRules } from '../address/rules.js'
import type { LookupTable, Pair, PairTable } from '../table/lookup-table.js'

export interface Answer {
  readonly address: string
  readonly range: { readonly start: string; readonly end: string }
  readonly asn?: Pair['asn']
  readonly organisation?: Pair['organisation']
  /** Of the table's columns. All are null if another thread has set a range whose pair is gone. */
  readonly [field: string]: unknown
}

/** The answer for one address, or undefined if no range holds it. About 1 µs. */
export function lookUp(table: PairTable, text: string, address: Address): Answer | undefined {
  const pair = find(table, address)
  return pair < 0 ? undefined : { address: text, range: rangeOf(table, address), ...table.pair(pair) }
}

/**
 * The same as JSON in UTF-8, each byte as a character. `text` has no character that JSON escapes.
 * About 0.5 µs.
 */
export function lookUpCharacters(table: PairTable, text: string, address: Address): string | undefined {
  const pair = find(table, address)
  if (pair < 0) return undefined
  const { start, end } = rangeOf(table, address)
  const said = table.pairCharacters(pair)
  // Of a table without columns of data nothing is said.
  const rest = said === '{}' ? '}' : `,${said.slice(1)}`
  return `{"address":"${text}","range":{"start":"${start}","end":"${end}"}${rest}`
}

function find(table: PairTable, address: Address): number {
  return address.family === 4 ? table.find4(address.word) : table.find6(address.words)
}
/** The range that was found last. */
function rangeOf({ bounds }: PairTable, { family }: Address): Answer['range'] {
  if (family === 4) return { start: ipv4Text(bounds[0] as number), end: ipv4Text(bounds[1] as number) }
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0, w4 = 0, w5 = 0, w6 = 0, w7 = 0] = bounds
  return { start: ipv6Text(w0, w1, w2, w3), end: ipv6Text(w4, w5, w6, w7) }
}

/** A bad address is repeated in its answer up to this many bytes. */
const ECHO_BYTES = 256
const NEWLINE = 0x0a
/** The third word of an IPv4 address that is mapped to IPv6. */
const MAPPED = 0xffff
/**
 * Room for a line: fixed text, echo with every byte escaped, error text, two addresses; and a pair
 * of half as many bytes.
 */
const LINE_ROOM = 4096

/** Fixed text, as 32-bit words in the order of memory, the last one filled up. */
interface Fixed {
  readonly words: Int32Array
  readonly length: number
}

function fixed(text: string): Fixed {
  const bytes = Buffer.alloc(Math.ceil(text.length / 4) * 4)
  bytes.write(text, 'latin1')
  return {
    words: Int32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(i * 4)),
    length: text.length,
  }
}

const OPEN = fixed('{"address":"')
const RANGE = fixed('","range":{"start":"')
const END = fixed('","end":"')
/** What a pair follows, but for its first brace. */
const PAIR = fixed('"},')
/** What the answer for a gap ends with, before what the table says of nothing. */
const NO_RANGE = '","range":null,'

/**
 * Appends answers to a private buffer that grows as needed: from bytes to bytes, without a string
 * or an object in between, unless an address is refused. About 200 ns for IPv4, most of it waiting
 * for the table's cache lines.
 */
export class AnswerWriter {
  readonly #table: LookupTable
  readonly #rules: AddressRules
  readonly #nothing: Fixed
  #out: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  #view = new DataView(new ArrayBuffer(0))
  #at = 0
  /** Of the IPv6 address being answered. */
  readonly #words = new Int32Array(4)
  /** The same memory. */
  readonly #point = new Uint32Array(this.#words.buffer)

  constructor(table: LookupTable, rules = STRICT) {
    this.#table = table
    this.#rules = rules
    this.#nothing = fixed(`${NO_RANGE}${table.nothing.toString('latin1', 1)}\n`)
  }

  /** Begins a new buffer: `spare`, if there is one, or one of about `size` bytes. */
  begin(size: number, spare?: ArrayBuffer): void {
    this.#open(new Uint8Array(spare ?? new ArrayBuffer(size)))
    this.#at = 0
  }

  /** Hands over the buffer and how many bytes of it count; {@link begin} comes next. */
  end(): { readonly buffer: ArrayBuffer; readonly length: number } {
    const result = { buffer: this.#out.buffer, length: this.#at }
    this.#open(new Uint8Array(0))
    return result
  }

  #open(out: Uint8Array<ArrayBuffer>): void {
    this.#out = out
    this.#view = new DataView(out.buffer)
  }

  /**
   * Looks up the address in `bytes[start, end)`, which has no surrounding space, and appends its
   * line.
   */
  append(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve()
    const word = parseQuad(bytes, start, end)
    if (word === NOT_A_QUAD) {
      this.#appendOther(bytes, start, end)
    } else {
      this.#answer4(bytes, start, end, word)
    }
  }

  #appendOther(bytes: Uint8Array, start: number, end: number): void {
    const words = this.#words
    const isRead =
      parseIpv6(bytes, start, end, words) || (this.#rules.stripPort && this.#readBare(bytes, start, end))
    if (isRead) this.#answerWords(bytes, start, end)
    else this.#appendError(bytes, start, end)
  }

  /** Reads an address with a port into `#words`. Returns whether it is one. */
  #readBare(bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start > ECHO_BYTES) return false
    const address = readAddress(decode(bytes, start, end), this.#rules)
    if (!address) return false
    this.#words.set(address.family === 6 ? address.words : [0, 0, MAPPED, address.word])
    return true
  }

  /** Of the address in `#words`. */
  #answerWords(bytes: Uint8Array, start: number, end: number): void {
    const words = this.#words
    const isNarrow = isMapped(words) || (this.#rules.nat64 && isNat64(words))
    if (isNarrow) this.#answer4(bytes, start, end, words[3] as number)
    else this.#answer6(bytes, start, end)
  }

  #appendError(bytes: Uint8Array, start: number, end: number): void {
    const long = end - start > ECHO_BYTES
    const text = decode(bytes, start, long ? start + ECHO_BYTES : end)
    const error = long ? `is ${end - start} bytes long: not an IPv4 or IPv6 address` : explainBadAddress(text)
    const line = `${JSON.stringify({ address: long ? `${text}…` : text, error })}\n`
    this.#at += Buffer.from(this.#out.buffer).write(line, this.#at, 'utf8')
  }

  #answer4(bytes: Uint8Array, start: number, end: number, word: number): void {
    const table = this.#table
    const out = this.#out
    const view = this.#view
    let at = this.#echo(bytes, start, end)
    const pair = table.find4(word)
    if (pair < 0) {
      this.#at = put(view, at, this.#nothing)
      return
    }
    const { bounds } = table
    at = writeIpv4(out, put(view, at, RANGE), bounds[0] as number)
    at = writeIpv4(out, put(view, at, END), bounds[1] as number)
    this.#finish(at, pair)
  }

  /** Of the address in `#words`. */
  #answer6(bytes: Uint8Array, start: number, end: number): void {
    const table = this.#table
    const view = this.#view
    let at = this.#echo(bytes, start, end)
    const pair = table.find6(this.#point)
    if (pair < 0) {
      this.#at = put(view, at, this.#nothing)
      return
    }
    at = this.#bound6(put(view, at, RANGE), 0)
    at = this.#bound6(put(view, at, END), 4)
    this.#finish(at, pair)
  }
  #bound6(at: number, word: number): number {
    const { bounds } = this.#table
    const [w0, w1, w2] = [bounds[word] as number, bounds[word + 1] as number, bounds[word + 2] as number]
    return writeIpv6(this.#out, at, w0 | 0, w1 | 0, w2 | 0, (bounds[word + 3] as number) | 0)
  }

  #echo(bytes: Uint8Array, start: number, end: number): number {
    const out = this.#out
    const at = put(this.#view, this.#at, OPEN)
    const shift = at - start
    for (let i = start; i < end; i++) out[i + shift] = bytes[i] as number
    return end + shift
  }

  #finish(at: number, pair: number): void {
    const table = this.#table
    this.#at = put(this.#view, at, PAIR)
    table.readPair(pair)
    const { text, begin, end } = table
    if (end - begin > LINE_ROOM / 2) this.#reserve(end - begin)
    const out = this.#out
    let to = this.#at
    for (let i = begin + 1; i < end; i++) out[to++] = text[i] as number
    out[to] = NEWLINE
    this.#at = to + 1
  }

  /** Makes room for one more line, with a pair of so many bytes. */
  #reserve(pair = 0): void {
    const needed = this.#at + LINE_ROOM + 2 * MAX_ADDRESS_BYTES + pair
    if (needed <= this.#out.length) return
    const out = new Uint8Array(Math.max(needed, this.#out.length * 2))
    out.set(this.#out.subarray(0, this.#at))
    this.#open(out)
  }
}

/**
 * Writes `text` at `at`, a word at a time: up to three bytes behind it are overwritten, and are
 * written again by what follows.
 */
function put(view: DataView, at: number, { words, length }: Fixed): number {
  for (let i = 0; i < words.length; i++) view.setInt32(at + i * 4, words[i] as number, true)
  return at + length
}

function decode(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}
