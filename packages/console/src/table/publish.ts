/**
 * Makes the rows of files the table. What is the same as before is not written.
 *
 *     1. pairs that are new get numbers, and are set     a death leaves pairs that no range needs
 *     2. the ranges of IPv4 become those of the file     a death leaves IPv4 new and IPv6 old
 *     3. the ranges of IPv6, too
 *     4. wait until nobody reads the versions before     a death leaves pairs that no range needs
 *     5. all pairs are deleted that no range needs       as in 4; the next load deletes the others
 *
 * Steps 2 and 3 are one version each. One load at a time. Other threads may change ranges
 * meanwhile: step 5 looks at the ranges that there are, not at those of the files.
 */
import type { SharedRangeMap } from 'percpu'
import { BIAS } from './columns.js'
import type { TableMaps } from './maps.js'
import type { PackedRows } from './packed.js'
import type { TableRows } from './read.js'

/** Of a pair, beside its text. */
const ENTRY_BYTES = 16

export interface Published {
  /** 1 for the first table, then one more each time. */
  readonly generation: number
  /** Places in which the ranges differ from those before. */
  readonly changed: number
  /** Whether there was nothing before, so that nothing has to be waited for, or deleted. */
  readonly isSettled: boolean
}

/**
 * Steps 1 to 3.
 *
 * @throws OutOfMemoryError. All is as before then, but if it was in step 3: IPv4 is new.
 */
export function publish(maps: TableMaps, rows: TableRows): Published {
  const { ipv4, ipv6, pairs, state } = maps
  const isSettled = pairs.size === 0
  const { numbers, fresh } = numberPairs(maps, [rows.ipv4, rows.ipv6])
  let isNamed = false
  let changed: number
  try {
    pairs.load(fresh, { sizeHint: fresh.size })
    changed = fill(ipv4, rows.ipv4.length, rangesOf(rows.ipv4, numbers[0] ?? [], narrow))
    isNamed = true
    changed += fill(ipv6, rows.ipv6.length, rangesOf(rows.ipv6, numbers[1] ?? [], wide))
  } catch (error) {
    if (!isNamed) for (const number of fresh.keys()) pairs.delete(number)
    throw error
  }
  // atomic: who sees the first one looks in the maps from now on, which hold the table by now.
  const generation = state.generation.load() + 1
  state.generation.store(generation)
  if (isSettled) {
    let bytes = bytesOf(maps)
    for (const { length } of fresh.values()) bytes += ENTRY_BYTES + length
    // atomic: a number to show.
    state.bytes.store(bytes)
  }
  return { generation, changed, isSettled }
}

/** Makes these ranges those of the map. Returns how many differ. */
function fill<K extends number | bigint>(
  map: SharedRangeMap<K, number>,
  count: number,
  ranges: Iterable<readonly [from: K, to: K, value: number]>,
): number {
  if (map.size > 0) return map.replace(ranges)
  // There is nothing to compare with.
  map.load(ranges)
  return count
}

/** Steps 4 and 5. */
export async function settle(maps: TableMaps): Promise<void> {
  const { ipv4, ipv6, pairs, state } = maps
  await ipv4.barrier()
  await ipv6.barrier()
  const needed = new Set<number>()
  for (const value of ipv4.values()) needed.add(value >>> 1)
  for (const value of ipv6.values()) needed.add(value >>> 1)
  let bytes = bytesOf(maps)
  for (const [number, { length }] of pairs) {
    if (needed.has(number)) bytes += ENTRY_BYTES + length
    else pairs.delete(number)
  }
  // atomic: a number to show.
  state.bytes.store(bytes)
}

/** Without the pairs themselves. */
function bytesOf({ ipv4, ipv6, pairs }: TableMaps): number {
  return ipv4.report().bytes + ipv6.report().bytes + pairs.report().bucketBytes
}

// -------------------------------------------------------------------------------------------------
// Pairs.

interface NumberedPairs {
  /** Of each text, file by file. */
  readonly numbers: readonly (readonly number[])[]
  /** Those that are not set yet, with their texts. */
  readonly fresh: ReadonlyMap<number, Uint8Array>
}

function numberPairs({ pairs, state }: TableMaps, files: readonly PackedRows[]): NumberedPairs {
  // By their texts, with a character for each byte.
  const known = new Map<string, number>()
  for (const [number, { buffer }] of pairs) known.set(Buffer.from(buffer).toString('latin1'), number)
  const fresh = new Map<number, Uint8Array>()
  let next = state.numbers.load() >>> 0
  const numbers = files.map(({ texts, textEnds }) =>
    Array.from(textEnds, (end, entry) => {
      const begin = entry === 0 ? 0 : (textEnds[entry - 1] as number)
      const text = Buffer.from(texts.buffer, texts.byteOffset + begin, end - begin)
      const key = text.toString('latin1')
      let number = known.get(key)
      if (number === undefined) {
        number = next++
        known.set(key, number)
        fresh.set(number, text)
      }
      return number
    }),
  )
  // atomic: before they are set. No number is given twice, whatever becomes of this thread.
  state.numbers.store(next | 0)
  return { numbers, fresh }
}

// -------------------------------------------------------------------------------------------------
// Ranges.

/** Keys of a family, of its biased columns. */
interface Keys<K> {
  readonly at: (words: readonly Int32Array[], row: number) => K
  readonly before: (key: K) => K
}
const narrow: Keys<number> = {
  at: ([words], row) => ((words?.[row] ?? 0) ^ BIAS) >>> 0,
  before: (key) => key - 1,
}
const wide: Keys<bigint> = {
  at: (words, row) => {
    let key = 0n
    for (const column of words) key = (key << 32n) | BigInt(((column[row] ?? 0) ^ BIAS) >>> 0)
    return key
  },
  before: (key) => key - 1n,
}

/** A family's ranges in ascending order. */
function* rangesOf<K extends number | bigint>(
  { starts, ends, entries, length }: PackedRows,
  numbers: readonly number[],
  keys: Keys<K>,
): Generator<[from: K, to: K, value: number]> {
  /** Of the range before. */
  let last: K | undefined
  let value = -1
  for (let row = 0; row < length; row++) {
    const [from, to] = [keys.at(starts, row), keys.at(ends, row)]
    const even = (numbers[entries[row] as number] as number) * 2
    value = value === even && keys.before(from) === last ? even + 1 : even
    last = to
    yield [from, to, value]
  }
}
