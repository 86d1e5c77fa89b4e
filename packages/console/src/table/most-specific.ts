/**
 * Ranges that lie in each other, as published files have them: at each address the shortest range
 * answers that holds it. Of two of the same length it is the one that starts later, of two that are
 * the same the one on the later line. What is left of a range around others becomes ranges of its
 * own.
 */
import { BIAS, RangeColumns, type Column } from './columns.js'

interface Range {
  readonly row: number
  readonly start: bigint
  readonly end: bigint
}

/** About a microsecond a range that overlaps others. `order`: by start. */
export function mostSpecific(columns: RangeColumns, order: Uint32Array): RangeColumns {
  const flat = new RangeColumns(columns.family)
  const open = new Heap()
  /** First address that is not answered yet. */
  let at = 0n
  const fillUntil = (limit: bigint | undefined) => {
    for (let best = open.top; best; best = open.top) {
      if (best.end < at) {
        open.pop()
        continue
      }
      if (limit !== undefined && at >= limit) return
      const end = limit !== undefined && best.end >= limit ? limit - 1n : best.end
      append(flat, columns, best.row, at, end)
      at = end + 1n
    }
  }
  for (const row of order) {
    const range = { row, start: key(columns.starts, row), end: key(columns.ends, row) }
    fillUntil(range.start)
    if (at < range.start) at = range.start
    open.push(range)
  }
  fillUntil(undefined)
  return flat
}

function isBefore(a: Range, b: Range): boolean {
  const difference = a.end - a.start - (b.end - b.start)
  if (difference !== 0n) return difference < 0n
  return a.start === b.start ? a.row > b.row : a.start > b.start
}

/** A binary heap, the range that answers first on top. */
class Heap {
  readonly #ranges: Range[] = []

  get top(): Range | undefined {
    return this.#ranges[0]
  }

  push(range: Range): void {
    const ranges = this.#ranges
    let at = ranges.push(range) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(range, ranges[parent] as Range)) break
      ranges[at] = ranges[parent] as Range
      at = parent
    }
    ranges[at] = range
  }

  pop(): void {
    const ranges = this.#ranges
    const last = ranges.pop()
    if (last === undefined || ranges.length === 0) return
    let at = 0
    for (let child = 1; child < ranges.length; child = at * 2 + 1) {
      const right = ranges[child + 1]
      if (right && isBefore(right, ranges[child] as Range)) child++
      if (!isBefore(ranges[child] as Range, last)) break
      ranges[at] = ranges[child] as Range
      at = child
    }
    ranges[at] = last
  }
}

function key(words: readonly Column[], row: number): bigint {
  let key = 0n
  for (const column of words) key = (key << 32n) | BigInt((column.at(row) ^ BIAS) >>> 0)
  return key
}

function append(to: RangeColumns, from: RangeColumns, row: number, start: bigint, end: bigint): void {
  pushKey(to.starts, start)
  pushKey(to.ends, end)
  to.entries.push(from.entries.at(row))
  to.lines.push(from.lines.at(row))
}
function pushKey(words: readonly Column[], key: bigint): void {
  words.forEach((column, i) =>
    column.push(Number((key >> BigInt(32 * (words.length - 1 - i))) & 0xffff_ffffn) ^ BIAS),
  )
}
