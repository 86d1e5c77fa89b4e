/** Checks of a table against the rows it was made of, for any thread. */
import assert from 'node:assert/strict'
import ipaddr from 'ipaddr.js'
import { AnswerWriter, answerBatch, NOT_A_QUAD, parseQuad, type FlatTable } from 'percpu-console'
import type { Row } from './files.js'

/** The two tables that a test moves between: as published, and with every answer changed. */
export type Variant = 'original' | 'changed'

/** What the changed table says instead; every tenth range is missing. */
export function changedRow(row: Row, index: number): Row | undefined {
  if (index % 10 === 3) return undefined
  return { ...row, asn: (row.asn + 7) % 2 ** 32, organisation: `${row.organisation} (changed)` }
}

/** Of all generations, the odd ones hold the original. */
export function variantOf(generation: number): Variant {
  return generation % 2 === 1 ? 'original' : 'changed'
}

interface PackedRow {
  readonly start: readonly number[]
  readonly end: readonly number[]
  readonly row: Row
}

/** The rows of both families, as words, in the order of the files. */
export class Expectation {
  readonly #rows4: readonly PackedRow[]
  readonly #rows6: readonly PackedRow[]

  constructor(rows4: readonly Row[], rows6: readonly Row[]) {
    const pack = (row: Row): PackedRow => ({ start: wordsOf(row.start), end: wordsOf(row.end), row })
    this.#rows4 = rows4.map(pack)
    this.#rows6 = rows6.map(pack)
  }

  get size(): number {
    return this.#rows4.length + this.#rows6.length
  }

  /** Checks every `step`th row from `first` on, of the table entered. Returns how many lookups were checked. */
  check(table: FlatTable, first = 0, step = 1): number {
    const variant = variantOf(table.generation)
    let checked = 0
    for (const rows of [this.#rows4, this.#rows6]) {
      for (let i = first % rows.length; i < rows.length; i += step) checked += checkRow(table, rows, i, variant)
    }
    return checked
  }
}

function checkRow(table: FlatTable, rows: readonly PackedRow[], index: number, variant: Variant): number {
  const packed = rows[index]
  if (!packed) return 0
  const { start, end } = packed
  const before = add(start, -1)
  const after = add(end, 1)
  const asked = [start, end, middle(start, end)]
  for (const words of asked) checkPoint(table, rows, index, words, variant)
  const isGap = (words: readonly number[] | undefined, neighbour: PackedRow | undefined): words is readonly number[] =>
    words !== undefined && (!neighbour || compare(words, neighbour.start) < 0 || compare(words, neighbour.end) > 0)
  if (isGap(before, rows[index - 1])) checkGap(table, before)
  if (isGap(after, rows[index + 1])) checkGap(table, after)
  return 5
}

/** Where two rows of the file overlap, the later one answers. */
function checkPoint(table: FlatTable, rows: readonly PackedRow[], index: number, words: readonly number[], variant: Variant): void {
  const next = rows[index + 1]
  const at = next && compare(words, next.start) >= 0 ? index + 1 : index
  const { row } = rows[at] as PackedRow
  const wanted = variant === 'original' ? row : changedRow(row, at)
  const found = find(table, words)
  if (!wanted) {
    if (found !== -1) assert.fail(`${row.start} is not in the changed table`)
    return
  }
  if (found === -1) assert.fail(`${row.start} is missing`)
  const is4 = words.length === 1
  const entry = is4 ? table.entry4(found) : table.entry6(found)
  const matches =
    table.asn(entry) === wanted.asn &&
    table.organisation(entry) === wanted.organisation &&
    hasBounds(table, found, rows[at] as PackedRow)
  if (matches) return
  assert.fail(`${row.start}: found AS${table.asn(entry)} ${table.organisation(entry)}, expected AS${wanted.asn} ${wanted.organisation}`)
}

function checkGap(table: FlatTable, words: readonly number[]): void {
  if (find(table, words) !== -1) assert.fail(`${words.join(':')} is in a gap`)
}

function find(table: FlatTable, words: readonly number[]): number {
  const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = words
  return words.length === 1 ? table.find4(w0) : table.find6(w0, w1, w2, w3)
}

/** Checks lines of batch answers for the starts of all rows, in the order of the rows. */
export function checkLines(table: FlatTable, rows: readonly Row[]): void {
  const variant = variantOf(table.generation)
  const writer = new AnswerWriter(table)
  const input = new Uint8Array(Buffer.from(rows.map(({ start }) => start).join('\n')))
  const { buffer, length } = answerBatch(writer, input, 'text')
  const lines = Buffer.from(buffer, 0, length).toString().split('\n')
  rows.forEach((row, i) => {
    const wanted = variant === 'original' ? row : changedRow(row, i)
    const range = { start: canonical(row.start), end: canonical(row.end) }
    const answer = wanted ? { range, asn: wanted.asn, organisation: wanted.organisation } : { range: null, asn: null, organisation: null }
    const line = JSON.stringify({ address: row.start, ...answer })
    if (lines[i] !== line) assert.equal(lines[i], line)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// Words, most significant first, as signed integers.

const encoder = new TextEncoder()

export function wordsOf(text: string): number[] {
  const bytes = encoder.encode(text)
  const word = parseQuad(bytes, 0, bytes.length)
  if (word !== NOT_A_QUAD) return [word]
  const buffer = Buffer.from(ipaddr.IPv6.parse(text).toByteArray())
  return [0, 4, 8, 12].map((at) => buffer.readInt32BE(at))
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const difference = ((a[i] ?? 0) >>> 0) - ((b[i] ?? 0) >>> 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** The address next to this one, or undefined beyond the first and the last. */
function add(words: readonly number[], step: 1 | -1): readonly number[] | undefined {
  const result = [...words]
  for (let i = result.length - 1; i >= 0; i--) {
    result[i] = ((result[i] ?? 0) + step) | 0
    if (result[i] !== (step === 1 ? 0 : -1)) return result
  }
  return undefined
}

/** An address between the two, both included: with the mean of the first words that differ. */
function middle(start: readonly number[], end: readonly number[]): readonly number[] {
  const at = start.findIndex((word, i) => word !== end[i])
  const low = (start[at] ?? 0) >>> 0
  const mean = Math.floor((low + ((end[at] ?? 0) >>> 0)) / 2)
  if (at < 0 || mean === low) return start
  return start.map((word, i) => (i < at ? word : i === at ? mean | 0 : 0))
}

/** Whether the row found begins and ends here. */
function hasBounds(table: FlatTable, found: number, { start, end }: PackedRow): boolean {
  if (start.length === 1) return table.start4(found) === start[0] && table.end4(found) === end[0]
  for (let i = 0; i < 4; i++) if (table.start6(found, i) !== start[i] || table.end6(found, i) !== end[i]) return false
  return true
}

/** As RFC 5952 has it, which the published data does not follow where one group of zeros stands alone. */
function canonical(text: string): string {
  return text.includes(':') ? ipaddr.IPv6.parse(text).toRFC5952String() : text
}
