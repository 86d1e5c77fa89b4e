import type { OwnCpu } from '../../cpus/own-cpu.js'
import { checkChoice, checkFunction, checkOptions, refused } from '../../machine/check.js'
import type { ListenOptions } from '../../machine/events.js'
import { checkSignal } from '../../machine/wait-options.js'
import { isThenable } from '../../thenable.js'
import { assertOpen, type Life } from '../life.js'
import { endViews } from '../view.js'
import { encodeKey, findLive, keyAt, lookUp, valueAt, viewOf, walk, type Hot } from './access.js'
import { readValue } from './entry.js'
import { hashWords } from './hash.js'
import { isLive } from './lifetime.js'
import { describeMap, type MapReport } from './report.js'
import { countEntries } from './table.js'
import { countLookup } from './tally.js'
import { MapWatchers } from './watchers.js'

/** What is read of a map: no lock is taken, and nothing changes. */
export abstract class MapReader<K, V, View> {
  readonly name: string
  /** @internal */
  protected readonly hot: Hot<K, V>
  /** @internal */
  protected readonly own: OwnCpu
  readonly #watchers: MapWatchers

  /** @internal */
  constructor(name: string, hot: Hot<K, V>, own: OwnCpu, life: Life) {
    this.name = name
    this.hot = hot
    this.own = own
    this.#watchers = new MapWatchers(hot.table, own, life)
  }

  /**
   * The value of a key; undefined if there is none.
   *
   * Cost: see "map" in docs/benchmarks.md. Most of it is to decode the value.
   * @throws ArgumentError for what is no key; EntryTooLargeError; OfflineError.
   */
  get(key: K): V | undefined {
    const { table, key: scratch, value, keys, values, decoded, tally } = this.hot
    const kept = decoded?.get(key)
    if (kept !== undefined) {
      if (tally !== 0) countLookup(table.memory, tally, true)
      return kept
    }
    keys.encode(key, scratch)
    const hash = hashWords(scratch.words, scratch.length, table.seed0, table.seed1)
    const entry = findLive(this.hot, hash)
    if (tally !== 0) countLookup(table.memory, tally, entry !== 0)
    if (entry === 0) return undefined
    readValue(table.memory, entry * 2, value, table.pad)
    const found = values.decode(value)
    decoded?.keep(key, hash, entry, found)
    return found
  }

  /** Whether there is an entry with this key. @throws as {@link get}. */
  has(key: K): boolean {
    const { table, tally } = this.hot
    const entry = findLive(this.hot, encodeKey(this.hot, key))
    if (tally !== 0) countLookup(table.memory, tally, entry !== 0)
    return entry !== 0
  }

  /**
   * What `read` makes of the value of a key, which it is given without a copy: bytes as a read-only
   * view, a struct as an accessor without setters. Values of other kinds are decoded. Undefined if
   * there is no such key. The view ends with the call. `read` is one synchronous stretch, and must
   * not let the thread be idle: no `machine.poll()`, nothing that blocks.
   *
   * @throws what `read` throws; ArgumentError also if it returns a promise; else as {@link get}.
   *   The view throws a ViewEndedError when it is used later.
   */
  view<Result>(key: K, read: (view: View) => Result): Result | undefined {
    checkFunction('read', read)
    const hash = encodeKey(this.hot, key)
    const scope = { memory: this.hot.table.memory }
    try {
      const view = viewOf(this.hot, hash, scope) as View | undefined
      if (view === undefined) return undefined
      const result = read(view)
      if (isThenable(result)) throw refused('read', read, 'not one synchronous stretch: it returns a promise')
      return result
    } finally {
      endViews(scope)
    }
  }
  /** How many entries there are. A snapshot: others may write meanwhile. @throws OfflineError. */
  get size(): number {
    return countEntries(this.hot.table)
  }

  /**
   * Goes through all entries, in no particular order. Each that is there throughout comes once;
   * those that others set or delete meanwhile may come. It may be awaited between two of them.
   *
   * @throws OfflineError.
   */
  entries(): Generator<[K, V], undefined> {
    this.assertOpen()
    const hot = this.hot
    return walk(hot.table, (entry) => [keyAt(hot, entry), valueAt(hot, entry)])
  }
  /** As {@link entries}, their keys. */
  keys(): Generator<K, undefined> {
    this.assertOpen()
    const hot = this.hot
    return walk(hot.table, (entry) => keyAt(hot, entry))
  }
  /** As {@link entries}, their values. */
  values(): Generator<V, undefined> {
    this.assertOpen()
    const hot = this.hot
    return walk(hot.table, (entry) => valueAt(hot, entry))
  }
  /** As `entries`. */
  [Symbol.iterator](): Generator<[K, V], undefined> {
    return this.entries()
  }
  /** Calls `visit` for each entry, as {@link entries} goes through them. */
  forEach(visit: (value: V, key: K, map: this) => void): void {
    checkFunction('visit', visit)
    for (const [key, value] of this.entries()) visit(value, key, this)
  }

  /**
   * From now on `listener` is told that the map has changed, whoever has changed it: in the event
   * loop, and once for several changes in a row. The thread stays alive meanwhile. Returns a
   * function that ends it.
   *
   * @throws ArgumentError; OfflineError. What `listener` throws is an uncaught error.
   */
  on(event: 'change', listener: () => void, options: ListenOptions = {}): () => void {
    this.assertOpen()
    checkChoice('event', event, ['change'])
    checkListening('on', listener, options)
    return this.#watchers.add(() => listener, options)
  }
  /**
   * From now on `listener` is told the value of a key whenever it is another one, or undefined when
   * there is none any more: as {@link on}. Of values in a row it is told the last one.
   *
   * @throws ArgumentError; EntryTooLargeError; OfflineError. What `listener` throws is an uncaught
   *   error.
   */
  watch(key: K, listener: (value: V | undefined, key: K) => void, options: ListenOptions = {}): () => void {
    this.assertOpen()
    const { hot } = this
    encodeKey(hot, key)
    // The user may change bytes that are a key.
    const own = hot.keys.decode(hot.key)
    checkListening('watch', listener, options)
    return this.#watchers.add(() => {
      // To watch an entry is not to use it.
      let known = lookUp(hot, own, isLive)
      return () => {
        const found = lookUp(hot, own, isLive)
        // One whose time is over is as none.
        const isSame = found.entry === known.entry && found.stamp === known.stamp
        const isKnown = found.isLive === known.isLive && (isSame || !found.isLive)
        known = found
        if (isKnown) return
        const value = found.isLive ? valueAt(hot, found.entry) : undefined
        encodeKey(hot, own)
        listener(value, hot.keys.decode(hot.key))
      }
    }, options)
  }

  /** @internal @throws OfflineError; RemovedError. */
  protected assertOpen(): void {
    this.own.assertOnline()
    assertOpen(this.hot.table.memory)
  }

  /** Of what it consists. A snapshot. @throws OfflineError. */
  report(): MapReport {
    return describeMap(this.name, this.hot.table)
  }
}

/** @throws ArgumentError. */
function checkListening(where: string, listener: unknown, options: ListenOptions): void {
  checkFunction('listener', listener)
  checkOptions(where, options, { signal: true })
  checkSignal(options.signal)
}
