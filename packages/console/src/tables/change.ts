/**
 * Changes of tables as bytes: what the log and the snapshots of a data directory hold.
 *
 *     make     1  name  kind of keys  0 or 1: of ranges  columns of keys, to the end
 *     set      2  name  from  to  value: JSON in UTF-8, to the end
 *     delete   3  name  from  to
 *     entry    4  version: 8 bytes  then as set, from the name on; only in snapshots
 *     clear    5  name
 *     drop     6  name: the table is not there any more; only in logs
 *
 * A name, a column, and each end of a range, has its length before it, one byte. A `to` of length 0
 * is the same as `from`. Keys are as keys.ts encodes them. docs/table-log.md has what is around
 * them.
 */
import { keyCodecs, type KeyKind } from './keys.js'

export interface TableSpec {
  readonly name: string
  readonly keys: KeyKind
  /** Whether an entry is of a range of keys, or of one. */
  readonly isRange: boolean
  /** Columns of the file that were the keys; undefined: nobody has noted them. */
  readonly columns?: readonly string[] | undefined
}

/** Keys are encoded, so that they mean the same to whoever reads them. */
export type Change =
  | { readonly op: 'make'; readonly spec: TableSpec }
  | { readonly op: 'clear'; readonly table: string }
  | { readonly op: 'drop'; readonly table: string }
  | { readonly op: 'delete'; readonly table: string; readonly from: Uint8Array; readonly to: Uint8Array }
  | SetChange
  | (Omit<SetChange, 'op'> & { readonly op: 'entry'; readonly version: number })
export interface SetChange {
  readonly op: 'set'
  readonly table: string
  readonly from: Uint8Array
  readonly to: Uint8Array
  /** JSON. */
  readonly value: Uint8Array
}

const MAKE = 1
const SET = 2
const DELETE = 3
const ENTRY = 4
const CLEAR = 5
const DROP = 6
const KINDS = Object.keys(keyCodecs) as KeyKind[]
const EMPTY = Buffer.alloc(0)

/** @throws RangeError for a name, a column or a key of more than 255 bytes. */
export function encodeChange(change: Change): Buffer {
  if (change.op === 'make') {
    const { name, keys, isRange, columns = [] } = change.spec
    return Buffer.concat([
      Buffer.of(MAKE),
      ...short(Buffer.from(name)),
      Buffer.of(KINDS.indexOf(keys), Number(isRange)),
      ...columns.flatMap((column) => short(Buffer.from(column))),
    ])
  }
  const name = short(Buffer.from(change.table))
  if (change.op === 'clear') return Buffer.concat([Buffer.of(CLEAR), ...name])
  if (change.op === 'drop') return Buffer.concat([Buffer.of(DROP), ...name])
  const { from, to } = change
  const ends = [...name, ...short(from), ...short(Buffer.compare(from, to) === 0 ? EMPTY : to)]
  if (change.op === 'delete') return Buffer.concat([Buffer.of(DELETE), ...ends])
  const head = Buffer.alloc(change.op === 'set' ? 1 : 9)
  head[0] = change.op === 'set' ? SET : ENTRY
  if (change.op === 'entry') head.writeBigUInt64BE(BigInt(change.version), 1)
  return Buffer.concat([head, ...ends, change.value])
}

function short(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > 255) throw new RangeError(`${bytes.length} bytes, 255 at most`)
  return [Buffer.of(bytes.length), bytes]
}

/**
 * Undefined for bytes that {@link encodeChange} does not give. Keys and the value are parts of the
 * payload, not copies.
 */
export function decodeChange(payload: Uint8Array): Change | undefined {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  let at = 1
  const next = (length: number) => bytes.subarray(at, (at += length))
  const nextShort = () => next(bytes[at++] ?? 0)
  const version = bytes[0] === ENTRY && bytes.length >= 9 ? Number(next(8).readBigUInt64BE()) : 0
  const table = nextShort().toString()
  const isWhole = () => at <= bytes.length
  switch (bytes[0]) {
    case MAKE: {
      const [kind = -1, isRange = 0] = next(2)
      const keys = KINDS[kind]
      const columns: string[] = []
      while (at < bytes.length) columns.push(nextShort().toString())
      const spec = { name: table, isRange: isRange === 1 }
      return keys && at === bytes.length
        ? { op: 'make', spec: { ...spec, keys, ...(columns.length > 0 ? { columns } : {}) } }
        : undefined
    }
    case DROP:
      return at === bytes.length ? { op: 'drop', table } : undefined
    case CLEAR:
      return at === bytes.length ? { op: 'clear', table } : undefined
    case DELETE:
    case SET:
    case ENTRY: {
      const from = nextShort()
      const last = nextShort()
      const to = last.length === 0 ? from : last
      if (!isWhole()) return undefined
      if (bytes[0] === DELETE) return at === bytes.length ? { op: 'delete', table, from, to } : undefined
      const value = bytes.subarray(at)
      return bytes[0] === SET
        ? { op: 'set', table, from, to, value }
        : { op: 'entry', version, table, from, to, value }
    }
    default:
      return undefined
  }
}
