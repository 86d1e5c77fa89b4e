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
  const { row, start, end } = rows[at] as PackedRow
  const wanted = variant === 'original' ? row : changedRow(row, at)
  const found = find(table, words)
  if (!wanted) {
    assert.equal(found, -1, `${row.start} is not in the changed table`)
    return
  }
  assert.notEqual(found, -1, `${row.start} is missing`)
  const is4 = words.length === 1
  const entry = is4 ? table.entry4(found) : table.entry6(found)
  const matches =
    table.asn(entry) === wanted.asn &&
    table.organisation(entry) === wanted.organisation &&
    start.every((word, i) => (is4 ? table.start4(found) : table.start6(found, i)) === word) &&
    end.every((word, i) => (is4 ? table.end4(found) : table.end6(found, i)) === word)
  assert.ok(matches, `${row.start}: found AS${table.asn(entry)} ${table.organisation(entry)}, expected AS${wanted.asn} ${wanted.organisation}`)
}

function checkGap(table: FlatTable, words: readonly number[]): void {
  assert.equal(find(table, words), -1, `${words.join(':')} is in a gap`)
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
    const { start, end, asn, organisation } = wanted ?? {}
    const answer = wanted ? { range: { start, end }, asn, organisation } : { range: null, asn: null, organisation: null }
    assert.equal(lines[i], JSON.stringify({ address: row.start, ...answer }))
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

/** Some address between the two, both included. */
function middle(start: readonly number[], end: readonly number[]): readonly number[] {
  const value = (words: readonly number[]) => words.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n)
  const half = (value(start) + value(end)) >> 1n
  return start.map((_, i) => Number(BigInt.asIntN(32, half >> BigInt(32 * (start.length - 1 - i)))))
}
