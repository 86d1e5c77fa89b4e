/**
 * Builds a table aside: everything in private memory first, then one region of shared memory,
 * filled column by column. Nobody else knows its address until it is published (root.ts), so a
 * loader that dies on the way leaves nothing but a region that its reaper frees.
 */
import type { Machine } from 'percpu'
import { copyIn, storeU32 } from 'percpu/mem'
import { checkRows } from './check-rows.js'
import { Entries, type RangeColumns } from './columns.js'
import { readRanges } from './csv.js'
import {
  BIAS,
  TAIL6_WORDS,
  ENTRY_WORDS,
  INDEX4_BUCKETS,
  keyOf6,
  TAIL4_WORDS,
  TableHeader,
  UNIT,
} from './layout.js'
import { checkOverlaps, sortedOrder } from './order.js'
import { Problems } from './problems.js'
import type { ShrinkLimit } from './row-counts.js'

export interface TableFiles {
  readonly ipv4: string
  readonly ipv6: string
}

/** What a loader tells about the table that it built. */
export interface BuiltTable {
  /** Byte address in the machine; owned by the thread that built it until it is kept. */
  readonly address: number
  readonly size: number
  readonly rows4: number
  readonly rows6: number
  readonly entries: number
  readonly names: number
  /** Overlaps of the published data that are known and tolerated. */
  readonly knownOverlaps: number
}

export interface BuildOptions {
  /** Default: any number of ranges will do, but 0. */
  readonly limit?: ShrinkLimit | undefined
  /** Told how many bytes have been read, now and then. */
  readonly onBytes?: (bytes: number) => void
}

/** What a table that replaces none is measured by. */
const NO_LIMIT: ShrinkLimit = { served: { ipv4: 0, ipv6: 0 }, maxShrink: 100 }

/** The IPv6 index has at most this many buckets. */
const MAX_BUCKETS6 = 1 << 17

/**
 * Reads both files and writes their table into the machine's memory.
 *
 * @param generation stored in the table
 * @throws TableRefusedError, FileError, OutOfMemoryError. Nothing stays allocated.
 */
export async function buildTable(
  machine: Machine,
  files: TableFiles,
  generation: number,
  { limit = NO_LIMIT, onBytes = () => undefined }: BuildOptions = {},
): Promise<BuiltTable> {
  const problems = new Problems()
  const entries = new Entries()
  const read = async (file: string, family: 4 | 6) => {
    const before = problems.total
    const columns = await readRanges(file, family, entries, problems, onBytes)
    const served = family === 4 ? limit.served.ipv4 : limit.served.ipv6
    // Lines that are refused are missing for another reason.
    if (problems.total === before) checkRows(file, columns.lines.length, served, limit, problems)
    return columns
  }
  const columns4 = await read(files.ipv4, 4)
  const columns6 = await read(files.ipv6, 6)
  const order4 = sortedOrder(columns4)
  const order6 = sortedOrder(columns6)
  const knownOverlaps =
    checkOverlaps(columns4, order4, files.ipv4, problems) +
    checkOverlaps(columns6, order6, files.ipv6, problems)
  if (order4.length + order6.length === 0 && problems.total === 0)
    problems.add(files.ipv4, 0, 'holds no range, and the other file neither')
  problems.throwIfAny({ ipv4: order4.length, ipv6: order6.length })
  const names = packNames(entries.names)
  const index6 = indexIpv6(columns6, order6)
  const image = new TableImage()
  image.add('index4', indexIpv4(columns4, order4))
  image.add('starts4', pick(columns4.starts, order4)[0] as Int32Array)
  image.add(
    'tails4',
    interleave([...pick(columns4.ends, order4), ...pick([columns4.entries], order4)], TAIL4_WORDS),
  )
  image.add('index6', index6.index)
  const [w0, ...others] = pick(columns6.starts, order6) as [Int32Array, Int32Array, Int32Array, Int32Array]
  image.add('keys6', keysOf6(w0, others[0]))
  const tail6 = [...pick(columns6.ends, order6), ...others, ...pick([columns6.entries], order6)]
  image.add('tails6', interleave(tail6, TAIL6_WORDS))
  image.add('entryWords', entryWords(entries, names))
  image.add('nameText', names.text)
  const counts = {
    rows4: order4.length,
    rows6: order6.length,
    entries: entries.asns.length,
    names: entries.names.length,
  }
  const { shift: shift6, base: base6, buckets: buckets6 } = index6
  const fields = {
    generation,
    ...counts,
    nameBytes: names.text.length,
    longestName: names.longest,
    shift6,
    base6,
    buckets6,
  }
  const address = image.write(machine, fields)
  return { address, size: image.size, ...counts, knownOverlaps }
}

// ---------------------------------------------------------------------------------------------------------------------
// Columns.

/** The columns' words in ascending order of rows. */
function pick(columns: readonly { readonly words: Int32Array }[], order: Uint32Array): Int32Array[] {
  return columns.map(({ words }) => {
    const picked = new Int32Array(order.length)
    for (let i = 0; i < picked.length; i++) picked[i] = words[order[i] as number] as number
    return picked
  })
}

function interleave(columns: readonly Int32Array[], width: number): Int32Array {
  const rows = columns[0]?.length ?? 0
  const words = new Int32Array(rows * width)
  columns.forEach((column, i) => column.forEach((word, row) => (words[row * width + i] = word)))
  return words
}

function keysOf6(w0: Int32Array, w1: Int32Array): Float64Array {
  const keys = new Float64Array(w0.length)
  for (let row = 0; row < keys.length; row++)
    keys[row] = keyOf6((w0[row] as number) ^ BIAS, (w1[row] as number) ^ BIAS)
  return keys
}

/** Per upper half, and one behind the last: the first row that starts there or later. */
function indexIpv4(columns: RangeColumns, order: Uint32Array): Int32Array {
  const starts = columns.starts[0]?.words ?? new Int32Array()
  return countBuckets(order, INDEX4_BUCKETS, (row) => ((starts[row] as number) ^ BIAS) >>> 16)
}

interface Index6 {
  readonly index: Int32Array
  readonly shift: number
  readonly base: number
  readonly buckets: number
}

/**
 * As fine an index over the first words as the limit of buckets allows: published addresses share
 * their first bits.
 */
function indexIpv6(columns: RangeColumns, order: Uint32Array): Index6 {
  if (order.length === 0) return { index: new Int32Array(1), shift: 0, base: 0, buckets: 0 }
  const words = columns.starts[0]?.words ?? new Int32Array()
  const first = (i: number) => ((words[order[i] as number] as number) ^ BIAS) >>> 0
  const low = first(0)
  const high = first(order.length - 1)
  let shift = 0
  while ((high >>> shift) - (low >>> shift) >= MAX_BUCKETS6) shift++
  const base = low >>> shift
  const buckets = (high >>> shift) - base + 1
  const index = countBuckets(
    order,
    buckets,
    (row) => ((((words[row] as number) ^ BIAS) >>> 0) >>> shift) - base,
  )
  return { index, shift, base, buckets }
}

/** `order` is ascending, and so are its buckets. */
function countBuckets(order: Uint32Array, buckets: number, bucketOf: (row: number) => number): Int32Array {
  const index = new Int32Array(buckets + 1)
  let row = 0
  for (let bucket = 0; bucket < buckets; bucket++) {
    while (row < order.length && bucketOf(order[row] as number) < bucket) row++
    index[bucket] = row
  }
  index[buckets] = order.length
  return index
}

interface PackedNames {
  readonly text: Uint8Array
  /** In words. */
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  readonly longest: number
}

function packNames(names: readonly string[]): PackedNames {
  const encoded = names.map((name) => Buffer.from(JSON.stringify(name)))
  const offsets = new Uint32Array(names.length)
  const lengths = Uint32Array.from(encoded, ({ length }) => length)
  let words = 0
  lengths.forEach((length, i) => {
    offsets[i] = words
    words += Math.ceil(length / 4)
  })
  const text = new Uint8Array(words * 4)
  encoded.forEach((bytes, i) => text.set(bytes, (offsets[i] as number) * 4))
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0)
  return { text, offsets, lengths, longest }
}

function entryWords(entries: Entries, names: PackedNames): Int32Array {
  const words = new Int32Array(entries.asns.length * ENTRY_WORDS)
  const nameOf = entries.nameOf.words
  entries.asns.words.forEach((asn, entry) => {
    const name = nameOf[entry] as number
    words[entry * ENTRY_WORDS] = asn
    words[entry * ENTRY_WORDS + 1] = names.offsets[name] as number
    words[entry * ENTRY_WORDS + 2] = names.lengths[name] as number
  })
  return words
}

// ---------------------------------------------------------------------------------------------------------------------
// The image.

type HeaderField = keyof typeof TableHeader.words

/** Header and columns, each column at a multiple of {@link UNIT}. */
class TableImage {
  readonly #columns: { readonly field: HeaderField; readonly at: number; readonly bytes: Uint8Array }[] = []
  #end = roundUp(TableHeader.size)

  /** Bytes of all of it. */
  get size(): number {
    return this.#end
  }

  add(field: HeaderField, words: Int32Array | Float64Array | Uint8Array): void {
    this.#columns.push({
      field,
      at: this.#end,
      bytes: new Uint8Array(words.buffer, words.byteOffset, words.byteLength),
    })
    this.#end = roundUp(this.#end + words.byteLength)
  }

  /** Allocates the region, writes all of it, and returns its address. */
  write(machine: Machine, fields: Partial<Record<HeaderField, number>>): number {
    const address = machine.heap.memblock.alloc({ size: this.#end, label: 'asn table', zero: false })
    const { memory } = machine
    const store = (field: HeaderField, value: number) =>
      storeU32(memory.u32, address / 4 + TableHeader.words[field], value)
    store('size', this.#end)
    for (const [field, value] of Object.entries(fields)) store(field as HeaderField, value)
    for (const { field, at, bytes } of this.#columns) {
      store(field, at / 4)
      copyIn(memory, address + at, bytes)
    }
    return address
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / UNIT) * UNIT
}
