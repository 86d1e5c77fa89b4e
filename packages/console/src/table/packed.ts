/**
 * One family's ranges in one block of shared memory: as they lie in a file, so that a file is read
 * by reading it, and all threads look up in it.
 *
 *     16 words      magic, family, ranges, texts, bytes of texts, known overlaps
 *     starts        ranges × words of an address, word by word; ascending, biased (columns.ts)
 *     ends          the same; before the next start
 *     entries       ranges: number of a text
 *     text ends     texts: position behind the text
 *     texts         JSON of what ranges say, in UTF-8
 */
import { BIAS, type RangeColumns } from './columns.js'

/** Also tells the order of bytes, and changes with whatever else lies here. */
const MAGIC = 0x7063_7501
export const HEADER_WORDS = 16
const HEADER = { magic: 0, family: 1, rows: 2, texts: 3, textBytes: 4, knownOverlaps: 5 } as const

export interface PackedRows {
  readonly memory: SharedArrayBuffer
  readonly family: 4 | 6
  readonly length: number
  /** A column for each word of an address, most significant first. */
  readonly starts: readonly Int32Array[]
  readonly ends: readonly Int32Array[]
  readonly entries: Int32Array
  readonly textEnds: Int32Array
  readonly texts: Uint8Array
  /** Overlaps of the published data that are known and tolerated. */
  readonly knownOverlaps: number
}

/**
 * Packs rows in this order, which is ascending. Where one reaches into the next, it ends before it:
 * the one that starts later answers.
 */
export function pack(
  columns: RangeColumns,
  order: Uint32Array,
  texts: readonly string[],
  knownOverlaps: number,
): PackedRows {
  const { family } = columns
  const bytes = Buffer.from(texts.join(''))
  const [rows, width] = [order.length, columns.starts.length]
  const words = HEADER_WORDS + rows * (2 * width + 1) + texts.length
  const memory = new SharedArrayBuffer(words * 4 + bytes.length)
  const header = new Int32Array(memory, 0, HEADER_WORDS)
  header[HEADER.magic] = MAGIC
  header[HEADER.family] = family
  header[HEADER.rows] = rows
  header[HEADER.texts] = texts.length
  header[HEADER.textBytes] = bytes.length
  header[HEADER.knownOverlaps] = knownOverlaps
  const packed = unpack(memory)
  if (!packed) throw new TypeError('rows that were packed are none')
  gather(packed.starts, columns.starts, order)
  gather(packed.ends, columns.ends, order)
  gather([packed.entries], [columns.entries], order)
  cutOverlaps(packed)
  let end = 0
  texts.forEach((text, i) => (packed.textEnds[i] = end += Buffer.byteLength(text)))
  packed.texts.set(bytes)
  return packed
}

/** Where what lies, in bytes: one place for each column. */
export interface PackedLayout {
  readonly family: 4 | 6
  readonly rows: number
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  readonly entries: number
  readonly texts: number
  readonly textEnds: number
  readonly textBytes: number
  readonly textsAt: number
  readonly knownOverlaps: number
}

/** What the header says; undefined if that does not fit `bytes`, the size of it all. */
export function layoutOf(header: Int32Array, bytes: number): PackedLayout | undefined {
  const family = header[HEADER.family]
  const [rows = 0, texts = 0, textBytes = 0] = header.subarray(HEADER.rows)
  if (header[HEADER.magic] !== MAGIC || (family !== 4 && family !== 6)) return undefined
  const width = family === 4 ? 1 : 4
  const words = HEADER_WORDS + rows * (2 * width + 1) + texts
  if (Math.min(rows, texts, textBytes) < 0 || words * 4 + textBytes !== bytes) return undefined
  let at = HEADER_WORDS * 4
  const take = (length: number) => {
    const begin = at
    at += length * 4
    return begin
  }
  return {
    family,
    rows,
    starts: Array.from({ length: width }, () => take(rows)),
    ends: Array.from({ length: width }, () => take(rows)),
    entries: take(rows),
    texts,
    textEnds: take(texts),
    textBytes,
    textsAt: at,
    knownOverlaps: header[HEADER.knownOverlaps] as number,
  }
}

/** The rows in this memory; undefined if its header does not fit its size. */
export function unpack(memory: SharedArrayBuffer): PackedRows | undefined {
  if (memory.byteLength < HEADER_WORDS * 4) return undefined
  const layout = layoutOf(new Int32Array(memory, 0, HEADER_WORDS), memory.byteLength)
  if (!layout) return undefined
  const { family, rows, starts, ends, entries, texts, textEnds, textBytes, textsAt, knownOverlaps } = layout
  const column = (at: number) => new Int32Array(memory, at, rows)
  return {
    memory,
    family,
    length: rows,
    starts: starts.map(column),
    ends: ends.map(column),
    entries: column(entries),
    textEnds: new Int32Array(memory, textEnds, texts),
    texts: new Uint8Array(memory, textsAt, textBytes),
    knownOverlaps,
  }
}

function gather(
  to: readonly Int32Array[],
  from: readonly { readonly words: Int32Array }[],
  order: Uint32Array,
): void {
  from.forEach(({ words }, i) => {
    const column = to[i] as Int32Array
    for (let row = 0; row < order.length; row++) column[row] = words[order[row] as number] as number
  })
}

function cutOverlaps({ starts, ends, length, knownOverlaps }: PackedRows): void {
  if (knownOverlaps === 0) return
  for (let row = 1; row < length; row++) {
    if (compare(ends, row - 1, starts, row) < 0) continue
    let borrow = 1
    for (let i = starts.length - 1; i >= 0; i--) {
      const word = (((starts[i]?.[row] ?? 0) ^ BIAS) >>> 0) - borrow
      borrow = word < 0 ? 1 : 0
      ;(ends[i] as Int32Array)[row - 1] = word ^ BIAS
    }
  }
}

/** Orders the address in a row of these columns and that in a row of others. */
export function compare(
  left: readonly Int32Array[],
  a: number,
  right: readonly Int32Array[],
  b: number,
): number {
  for (let i = 0; i < left.length; i++) {
    const difference = (left[i]?.[a] as number) - (right[i]?.[b] as number)
    if (difference !== 0) return difference
  }
  return 0
}
