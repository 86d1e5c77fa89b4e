/** What a thread looks a map up with, and how its keys and values are read. */
import { END, step } from './cursor.js'
import type { DecodedValues } from './decoded.js'
import { readKey, readValue, stampOf, valueBytesOf, valueOf } from './entry.js'
import { hashWords } from './hash.js'
import { isLive, use } from './lifetime.js'
import type { KeyCodec } from '../keys.js'
import { findEntry } from './reader.js'
import type { Scratch } from '../scratch.js'
import type { MapTable } from './table.js'
import { countLookup } from './tally.js'
import type { ValueCodec } from '../values.js'
import type { MakeView, ViewScope } from '../view.js'
import type { Expected } from './writer.js'

/** What the usual ways read, in one object with plain fields. */
export interface Hot<K, V> {
  readonly table: MapTable
  readonly key: Scratch
  readonly value: Scratch
  readonly keys: KeyCodec<K>
  readonly values: ValueCodec<V>
  /** Makes views of values in place; undefined: they are decoded. */
  readonly makeView: MakeView | undefined
  /** None unless they are kept. */
  readonly decoded: DecodedValues<K, V> | undefined
  /** Where look-ups are counted: tally.ts. 0: they are not. */
  readonly tally: number
}

/** Encodes a key, and returns its hash. */
export function encodeKey<K, V>({ table, key: scratch, keys }: Hot<K, V>, key: K): number {
  keys.encode(key, scratch)
  return hashWords(scratch.words, scratch.length, table.seed0, table.seed1)
}
/** The entry of a key that was encoded, unless its time is over; 0 if none. It is used now. */
export function findLive<K, V>({ table, key }: Hot<K, V>, hash: number): number {
  const entry = findEntry(table, key, hash)
  return entry !== 0 && use(table, entry * 2) ? entry : 0
}
/** An entry that was found, and whether it counts: its time may be over. */
interface Found extends Expected {
  readonly isLive: boolean
}
/** The entry of a key. `check`: {@link isLive} if looking is not to keep it from being evicted. */
export function lookUp<K, V>(hot: Hot<K, V>, key: K, check: typeof isLive = use): Found {
  const { table } = hot
  const entry = findEntry(table, hot.key, encodeKey(hot, key))
  if (entry === 0) return { entry, stamp: 0, isLive: false }
  return { entry, stamp: stampOf(table.memory.i32, entry * 2), isLive: check(table, entry * 2) }
}
/** As {@link lookUp}, with its value. */
export function findValue<K, V>(hot: Hot<K, V>, key: K): Expected & { readonly value: V | undefined } {
  const { entry, stamp, isLive } = lookUp(hot, key)
  return { entry, stamp, value: isLive ? valueAt(hot, entry) : undefined }
}
/** The view of the value of the key that was encoded, with this hash; undefined if none. */
export function viewOf<K, V>(hot: Hot<K, V>, hash: number, scope: ViewScope): unknown {
  const { table, makeView, tally } = hot
  const entry = findLive(hot, hash)
  if (tally !== 0) countLookup(table.memory, tally, entry !== 0)
  if (entry === 0) return undefined
  if (makeView === undefined) return valueAt(hot, entry)
  const { i32 } = table.memory
  return makeView(scope, valueOf(i32, entry * 2, table.pad) * 4, valueBytesOf(i32, entry * 2))
}

/** Goes through all entries. `read`: is called for each, by its reference. */
export function* walk<T>(table: MapTable, read: (entry: number) => T): Generator<T, undefined> {
  const entries: number[] = []
  for (let cursor = 0; cursor < END;) {
    cursor = step(table, cursor, entries)
    // In this stretch: afterwards they may be freed.
    const batch = entries.filter((entry) => isLive(table, entry * 2)).map(read)
    yield* batch
  }
}
export function keyAt<K, V>({ table, key, keys }: Hot<K, V>, entry: number): K {
  readKey(table.memory, entry * 2, key)
  return keys.decode(key)
}
export function valueAt<K, V>({ table, value, values }: Hot<K, V>, entry: number): V {
  readValue(table.memory, entry * 2, value, table.pad)
  return values.decode(value)
}
