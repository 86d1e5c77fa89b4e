/** Checks of a table against the rows it was made of, for any thread. */
import assert from 'node:assert/strict'
import ipaddr from 'ipaddr.js'
import { AnswerWriter, answerBatch, ipv4Text, NOT_A_QUAD, parseQuad, type AddressTable } from 'percpu-console'
import type { Row } from './files.js'

/** The two tables that a test moves between: as published, and with every answer changed. */
export type Variant = 'original' | 'changed'

const suffix = ' (changed)'

/** What the changed table says instead; every tenth range is missing. */
export function changedRow(row: Row, index: number): Row | undefined {
  if (isMissing(index)) return undefined
  return { ...row, asn: changedAsn(row.asn), organisation: row.organisation + suffix }
}
function isMissing(index: number): boolean {
  return index % 10 === 3
}
function changedAsn(asn: number): number {
  return (asn + 7) % 2 ** 32
}

/** Of all versions of a family, the odd ones hold the original. */
export function variantOf(version: number): Variant {
  return version % 2 === 1 ? 'original' : 'changed'
}

/**
 * One family's rows as words, in the order of the file. Points are signed words, most significant
 * first.
 */
class FamilyRows {
  readonly length: number
  readonly #width: number
  readonly #starts: Int32Array
  readonly #ends: Int32Array
  readonly #asns: Float64Array
  readonly #organisations: string[]
  readonly #changedOrganisations: string[]
  // Points that are being looked up.
  readonly #first: Int32Array
  readonly #last: Int32Array
  readonly #point: Int32Array

  constructor(width: 1 | 4, rows: readonly Row[]) {
    this.length = rows.length
    this.#width = width
    this.#starts = Int32Array.from(rows.flatMap(({ start }) => wordsOf(start)))
    this.#ends = Int32Array.from(rows.flatMap(({ end }) => wordsOf(end)))
    this.#asns = Float64Array.from(rows, ({ asn }) => asn)
    this.#organisations = rows.map(({ organisation }) => organisation)
    this.#changedOrganisations = rows.map(({ organisation }) => organisation + suffix)
    this.#first = new Int32Array(width)
    this.#last = new Int32Array(width)
    this.#point = new Int32Array(width)
  }

  /** Checks both ends of a row, a point between them, and the points beside it. */
  check(table: AddressTable, row: number, variant: Variant): void {
    const [first, last, point] = [this.#first, this.#last, this.#point]
    copyRow(first, this.#starts, row)
    copyRow(last, this.#ends, row)
    this.#checkPoint(table, row, first, variant)
    this.#checkPoint(table, row, last, variant)
    middle(point, first, last)
    this.#checkPoint(table, row, point, variant)
    if (add(point, first, -1) && (row === 0 || this.#compare(point, this.#ends, row - 1) > 0))
      this.#checkGap(table, point)
    const next = row + 1
    if (add(point, last, 1) && (next === this.length || this.#compare(point, this.#starts, next) < 0))
      this.#checkGap(table, point)
  }

  #checkPoint(table: AddressTable, wanted: number, point: Int32Array, variant: Variant): void {
    const found = this.#find(table, point)
    if (variant === 'changed' && isMissing(wanted)) {
      if (found !== -1) assert.fail(`row ${wanted} is not in the changed table`)
      return
    }
    if (found === -1) assert.fail(`row ${wanted} is missing`)
    const { asn, organisation } = table.pair(found)
    const original = this.#asns[wanted] ?? NaN
    const wantedAsn = variant === 'original' ? original : changedAsn(original)
    const wantedName = (variant === 'original' ? this.#organisations : this.#changedOrganisations)[wanted]
    if (asn !== wantedAsn || organisation !== wantedName || !this.#hasBounds(table, wanted)) {
      assert.fail(
        `row ${wanted}: found AS${asn} ${organisation}, expected AS${wantedAsn} ${wantedName} (bounds ${table.bounds.join(' ')})`,
      )
    }
  }

  #checkGap(table: AddressTable, point: Int32Array): void {
    if (this.#find(table, point) !== -1) assert.fail(`${point.join(':')} is in a gap`)
  }

  #find(table: AddressTable, words: Int32Array): number {
    return this.#width === 1 ? table.find4(words[0] ?? 0) : table.find6(words)
  }

  #hasBounds({ bounds }: AddressTable, row: number): boolean {
    const width = this.#width
    for (let i = 0; i < width; i++) {
      if ((bounds[i] ?? 0) !== (this.#starts[row * width + i] ?? 0) >>> 0) return false
      if ((bounds[width + i] ?? 0) !== (this.#ends[row * width + i] ?? 0) >>> 0) return false
    }
    return true
  }

  #compare(point: Int32Array, rows: Int32Array, row: number): number {
    for (let i = 0; i < this.#width; i++) {
      const difference = ((point[i] ?? 0) >>> 0) - ((rows[row * this.#width + i] ?? 0) >>> 0)
      if (difference !== 0) return difference
    }
    return 0
  }
}

/** The rows of both families, of which none overlap: {@link cutRows}. */
export class Expectation {
  readonly #families: readonly FamilyRows[]

  constructor(rows4: readonly Row[], rows6: readonly Row[]) {
    this.#families = [new FamilyRows(1, rows4), new FamilyRows(4, rows6)]
  }

  /** Checks every `step`th row from `first` on. Returns how many rows were checked. */
  check(table: AddressTable, first = 0, step = 1): number {
    const { ipv4, ipv6 } = table.versions
    let checked = 0
    for (const [family, rows] of this.#families.entries()) {
      const variant = variantOf(family === 0 ? ipv4 : ipv6)
      for (let row = first % rows.length; row < rows.length; row += step, checked++)
        rows.check(table, row, variant)
    }
    return checked
  }
}

/**
 * Checks lines of batch answers for the starts of all rows, in the order of the rows, which are
 * canonical.
 */
export function checkLines(table: AddressTable, rows: readonly Row[]): void {
  const { ipv4, ipv6 } = table.versions
  const variant = variantOf(rows[0]?.start.includes(':') === true ? ipv6 : ipv4)
  const writer = new AnswerWriter(table)
  const input = new Uint8Array(Buffer.from(rows.map(({ start }) => start).join('\n')))
  const { buffer, length } = answerBatch(writer, input, 'text')
  const lines = Buffer.from(buffer, 0, length).toString().split('\n')
  rows.forEach((row, i) => {
    const wanted = variant === 'original' ? row : changedRow(row, i)
    const { start, end, asn, organisation } = wanted ?? {}
    const answer = wanted
      ? { range: { start, end }, asn, organisation }
      : { range: null, asn: null, organisation: null }
    const line = JSON.stringify({ address: row.start, ...answer })
    if (lines[i] !== line) assert.equal(lines[i], line)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// Points.

const encoder = new TextEncoder()

export function wordsOf(text: string): number[] {
  const bytes = encoder.encode(text)
  const word = parseQuad(bytes, 0, bytes.length)
  if (word !== NOT_A_QUAD) return [word]
  const buffer = Buffer.from(ipaddr.IPv6.parse(text).toByteArray())
  return [0, 4, 8, 12].map((at) => buffer.readInt32BE(at))
}

function copyRow(point: Int32Array, rows: Int32Array, row: number): void {
  for (let i = 0; i < point.length; i++) point[i] = rows[row * point.length + i] ?? 0
}

/** Makes `point` the address next to `from`; false beyond the first and the last. */
function add(point: Int32Array, from: Int32Array, step: 1 | -1): boolean {
  point.set(from)
  for (let i = point.length - 1; i >= 0; i--) {
    point[i] = (point[i] ?? 0) + step
    if (point[i] !== (step === 1 ? 0 : -1)) return true
  }
  return false
}

/**
 * Makes `point` an address between the two, both included: with the mean of the first words that
 * differ.
 */
function middle(point: Int32Array, start: Int32Array, end: Int32Array): void {
  point.set(start)
  const at = start.findIndex((word, i) => word !== end[i])
  const low = (start[at] ?? 0) >>> 0
  const mean = Math.floor((low + ((end[at] ?? 0) >>> 0)) / 2)
  if (at < 0 || mean === low) return
  point[at] = mean
  point.fill(0, at + 1)
}

/** With addresses as RFC 5952 has them: the published data shortens single groups of zeros too. */
export function canonicalRow({ start, end, ...rest }: Row): Row {
  const canonical = (text: string) => (text.includes(':') ? ipaddr.IPv6.parse(text).toRFC5952String() : text)
  return { start: canonical(start), end: canonical(end), ...rest }
}

/** Where two rows overlap, the earlier one ends before the later one. Only IPv4 has such rows. */
export function cutRows(rows: readonly Row[]): Row[] {
  return rows.map((row, i) => {
    const [next = 0] = wordsOf(rows[i + 1]?.start ?? '::')
    const [end = 0] = wordsOf(row.end)
    const isCut = i + 1 < rows.length && !row.end.includes(':') && end >>> 0 >= next >>> 0
    return isCut ? { ...row, end: ipv4Text(next - 1) } : row
  })
}
