/**
 * A table in shared memory: a map of ranges that all threads open by the table's name. A table of
 * keys has ranges of one key each.
 *
 *     key ──▶ version: 8 bytes, the sequence number of the change; then the value, JSON in UTF-8
 *
 * One thread changes it, the writer's; any thread reads, without a lock.
 */
import type { Machine, RangeMapReport, RangeView, SharedRangeMap } from 'percpu'
import { keyCodecs, type Key, type KeyCodec, type KeyRange } from './keys.js'
import type { TableSpec } from './change.js'

/** What a table says of a key or a range. */
export interface Row {
  readonly from: Key
  readonly to: Key
  /** Sequence number of the change by which it came here. */
  readonly version: number
  /** JSON in UTF-8. */
  readonly value: Buffer
}

export interface Selection {
  readonly from?: Key
  readonly to?: Key
  readonly reverse?: boolean
}

/** A change without its conditions. Without a value it deletes. */
export interface Write extends KeyRange {
  readonly version: number
  readonly value: Uint8Array | undefined
}

/** A row as the map takes it. */
export type Stored = [from: Key, to: Key, stored: Uint8Array]

/** Most bytes of a value: what a map of ranges takes, without the version. */
export const MAX_VALUE_BYTES = 2 ** 20 - 64
const VERSION_BYTES = 8

export class Table {
  readonly spec: TableSpec
  readonly codec: KeyCodec
  readonly map: SharedRangeMap<Key, Uint8Array>

  constructor(machine: Machine, spec: TableSpec) {
    this.spec = spec
    this.codec = keyCodecs[spec.keys]
    const { mapKind } = this.codec
    this.map = machine.rangeMap(mapName(spec.name), {
      key: mapKind,
      value: 'bytes',
    })
  }

  get name(): string {
    return this.spec.name
  }
  get size(): number {
    return this.map.size
  }

  /** What is said of a key. */
  get(key: Key): Row | undefined {
    if (this.spec.isRange) {
      const range = this.map.find(key)
      return range && rowOf(range)
    }
    const value = this.map.lookup(key)
    return value && rowOf({ from: key, to: key, value })
  }
  /** The row of just this range. */
  exact({ from, to }: KeyRange): Row | undefined {
    const row = this.get(from)
    const { compare } = this.codec
    return row && compare(row.from, from) === 0 && compare(row.to, to) === 0 ? row : undefined
  }
  /** Whether anything is said of any key of the range. */
  touches({ from, to }: KeyRange): boolean {
    return this.map.entries({ from, to }).next().done !== true
  }
  /** Bytes of values of which a write of this range leaves a rest, on each side where it does. */
  restsOf({ from, to }: KeyRange): readonly number[] {
    const { compare } = this.codec
    const rests: number[] = []
    const first = this.get(from)
    if (first && compare(first.from, from) < 0) rests.push(first.value.length)
    const last = this.get(to)
    if (last && compare(last.to, to) > 0) rests.push(last.value.length)
    return rests
  }
  /** In the order of keys; rows that lie partly in the selection are given whole. */
  *rows(
    selection: Selection = {},
    view: RangeView<Key, Uint8Array> | this['map'] = this.map,
  ): Generator<Row, undefined> {
    for (const range of view.entries(selection)) yield rowOf(range)
  }

  /** All of them as one version. @throws OutOfMemoryError. Nothing is changed then. */
  apply(writes: readonly Write[]): void {
    this.map.batch(changesOf(writes))
  }
  /**
   * As {@link apply}, when `work` has ended, which begins when there is the memory.
   *
   * @throws what `work` throws; OutOfMemoryError. Nothing is changed then.
   */
  async applyAround(writes: readonly Write[], work: () => Promise<void>): Promise<void> {
    await this.map.batchAround(changesOf(writes), work)
  }

  report(): RangeMapReport {
    return this.map.report()
  }
}

/** Name of a table's map. */
export function mapName(table: string): string {
  return `table ${table}`
}

function changesOf(writes: readonly Write[]): (Stored | [Key, Key])[] {
  return writes.map(({ from, to, version, value }) =>
    value === undefined ? [from, to] : [from, to, storedOf(version, value)],
  )
}

/** As it lies in the map. */
export function storedOf(version: number, value: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafe(VERSION_BYTES + value.length)
  stored.writeBigUInt64BE(BigInt(version))
  stored.set(value, VERSION_BYTES)
  return stored
}

function rowOf({
  from,
  to,
  value,
}: {
  readonly from: Key
  readonly to: Key
  readonly value: Uint8Array
}): Row {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const version = bytes.readUInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4)
  return { from, to, version, value: bytes.subarray(VERSION_BYTES) }
}
