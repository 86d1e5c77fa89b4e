/** Reads the cells of one line: a range of addresses, and what is said of it. */
import { explainBadAddress, parseAddress, shorten, type Address } from '../address/parse.js'
import type { ColumnFormat } from './format.js'

const MAX_ASN = 0xffff_ffff
const MAX_BITS = { 4: 32, 6: 128 } as const
const DECIMAL = /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/

/** Told of each thing that is wrong in a line. */
export type Complaint = (text: string) => void

interface PlacedColumn extends ColumnFormat {
  /** Index of the cell. */
  readonly at: number
  /** As it begins a pair, such as `,"asn":`. */
  readonly opening: string
}

export class RowReader {
  readonly #family: 4 | 6
  readonly #width: number
  readonly #expected: string
  readonly #data: readonly PlacedColumn[]
  readonly #cells: Readonly<Record<'first' | 'last' | 'network' | 'address', PlacedColumn | undefined>>
  /** The range of the line that was read last, both ends inclusive; words as of {@link Address}. */
  start: readonly number[] = []
  end: readonly number[] = []

  constructor(family: 4 | 6, columns: readonly ColumnFormat[]) {
    this.#family = family
    this.#width = columns.length
    this.#expected = columns.map(({ name }) => NAMES[name] ?? name).join(', ')
    let data = 0
    const placed = columns.map((column, at) => {
      const isData = column.role === 'data'
      return { ...column, at, opening: `${isData && data++ > 0 ? ',' : ''}${JSON.stringify(column.name)}:` }
    })
    const of = (role: string) => placed.find((column) => column.role === role)
    this.#data = placed.filter(({ role }) => role === 'data')
    this.#cells = { first: of('first'), last: of('last'), network: of('network'), address: of('address') }
  }

  /**
   * Reads the line's range into {@link start} and {@link end}, and gives a text that is the same
   * for lines with the same data. Undefined after a complaint.
   */
  read(record: readonly string[], complain: Complaint): string | undefined {
    if (record.length !== this.#width) {
      complain(`has ${record.length} columns, expected ${this.#width}: ${this.#expected}`)
      return undefined
    }
    const { first, last, network, address } = this.#cells
    const hasRange =
      first && last
        ? this.#readEnds(record, first, last, complain)
        : network
          ? this.#readNetwork(record[network.at] ?? '', complain)
          : this.#readOne(record, address, complain)
    let isGood = true
    let key = ''
    for (const column of this.#data) {
      const cell = record[column.at] ?? ''
      if (column.type !== 'text' && isBad(cell, column, complain)) isGood = false
      key += `${cell}\0`
    }
    if (!hasRange || !isGood) return undefined
    return key
  }

  /** What a line says of its range: JSON. */
  dataOf(record: readonly string[]): string {
    let text = '{'
    for (const { at, type, opening } of this.#data) text += opening + literalOf(record[at] ?? '', type)
    return `${text}}`
  }

  #readEnds(
    record: readonly string[],
    first: PlacedColumn,
    last: PlacedColumn,
    complain: Complaint,
  ): boolean {
    const start = this.#point(first, record, complain)
    const end = this.#point(last, record, complain)
    if (!start || !end) return false
    if (compare(end, start) < 0) {
      complain(`the range ends at ${record[last.at]}, before its start ${record[first.at]}`)
      return false
    }
    this.start = start
    this.end = end
    return true
  }

  #readOne(record: readonly string[], column: PlacedColumn | undefined, complain: Complaint): boolean {
    const point = column && this.#point(column, record, complain)
    if (!point) return false
    this.start = this.end = point
    return true
  }

  #readNetwork(text: string, complain: Complaint): boolean {
    const slash = text.indexOf('/')
    const bits = slash < 0 ? NaN : prefixOf(text.slice(slash + 1), MAX_BITS[this.#family])
    if (Number.isNaN(bits)) {
      complain(`network '${shorten(text)}' is refused: expected an address, '/', and the bits of its prefix`)
      return false
    }
    const start = this.#address('network', text.slice(0, slash), complain)
    if (!start) return false
    const end = start.map((word, i) => (word | maskOf(bits - 32 * i)) >>> 0)
    if (start.some((word, i) => (word & maskOf(bits - 32 * i)) !== 0)) {
      complain(`network '${shorten(text)}' is refused: its address has bits behind the prefix`)
      return false
    }
    this.start = start
    this.end = end
    return true
  }

  #point(
    column: PlacedColumn,
    record: readonly string[],
    complain: Complaint,
  ): readonly number[] | undefined {
    const text = record[column.at] ?? ''
    const what = NAMES[column.name] ?? column.name
    return column.type === 'number' ? this.#number(what, text, complain) : this.#address(what, text, complain)
  }

  #address(what: string, text: string, complain: Complaint): readonly number[] | undefined {
    const address = parseAddress(text)
    if (!address) {
      complain(`${what} '${shorten(text)}' is refused: ${explainBadAddress(text)}`)
      return undefined
    }
    if (address.family !== this.#family) {
      complain(
        `${what} '${text}' is IPv${address.family}${mapped(text, address)}, in a file of IPv${this.#family}`,
      )
      return undefined
    }
    return address.family === 4 ? [address.word] : address.words
  }

  #number(what: string, text: string, complain: Complaint): readonly number[] | undefined {
    const bits = MAX_BITS[this.#family]
    const number = /^\d{1,39}$/.test(text) ? BigInt(text) : -1n
    if (number < 0n || number >> BigInt(bits) !== 0n) {
      complain(`${what} '${shorten(text)}' is refused: not a whole number below 2^${bits}`)
      return undefined
    }
    return Array.from({ length: bits / 32 }, (_, i) => Number((number >> BigInt(bits - 32 * (i + 1))) & WORD))
  }
}

const WORD = 0xffff_ffffn
/** In messages. */
const NAMES: Readonly<Record<string, string>> = {
  first: 'first address',
  last: 'last address',
  asn: 'AS number',
}

function mapped(text: string, address: Address): string {
  return address.family === 4 && text.includes(':') ? ' mapped to IPv6' : ''
}

/** The number of bits of a prefix, or NaN. */
function prefixOf(text: string, most: number): number {
  const bits = /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : NaN
  return bits <= most ? bits : NaN
}
/** The bits of a word behind the first `bits`. */
function maskOf(bits: number): number {
  return bits >= 32 ? 0 : bits <= 0 ? -1 : 0xffff_ffff >>> bits
}

function isBad(cell: string, { name, type }: PlacedColumn, complain: Complaint): boolean {
  const what = `${NAMES[name] ?? name} '${shorten(cell)}'`
  if (type === 'asn' || type === 'as') {
    if ((type === 'as' && cell === '') || asnOf(cell, type) !== undefined) return false
    const after = type === 'as' ? " after 'AS'" : ''
    complain(`${what} is not a whole number of 0–${MAX_ASN}${after}`)
    return true
  }
  if (cell === '' || DECIMAL.test(cell)) return false
  complain(`${what} is not a decimal number`)
  return true
}

function asnOf(text: string, type: 'asn' | 'as'): number | undefined {
  const digits = type === 'as' ? (/^[Aa][Ss](\d{1,10})$/.exec(text)?.[1] ?? '') : text
  if (!/^\d{1,10}$/.test(digits)) return undefined
  const asn = Number(digits)
  return asn <= MAX_ASN ? asn : undefined
}

/** A good cell as JSON. */
function literalOf(cell: string, type: ColumnFormat['type']): string {
  if (type === 'text') return JSON.stringify(cell)
  if (type !== 'number') return String(asnOf(cell, type) ?? null)
  return cell === '' ? 'null' : JSON.stringify(Number(cell))
}

/** Orders addresses of one family. */
function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const difference = ((a[i] as number) >>> 0) - ((b[i] as number) >>> 0)
    if (difference !== 0) return difference
  }
  return 0
}
