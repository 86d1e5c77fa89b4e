import { checkFlag, checkOptions, refused } from '../../machine/check.js'
import { Cursor, type Range } from './cursor.js'
import { hasValue, valueWord, type Shape } from './node.js'
import type { RangePoint } from './keys.js'
import type { Finder } from './search.js'
import { indexedWide, indexedWord } from './index-search.js'
import { VALUE_BITS } from './index-words.js'
import { checkBounds, locate, narrowRange, wideRange } from './located.js'
import { heightOf, numberOf, rootOf, sizeOf } from './version.js'
import { wordsOfWide } from './wide-keys.js'

// Copied for the compiler, which checks an import at each use.
const valueBits = VALUE_BITS

/** Which ranges to go through, and how. */
export interface RangeEntriesOptions<K> {
  /** Ranges that end before it are left out. Default: the least key. */
  readonly from?: RangePoint<K>
  /** Ranges that begin behind it are left out. Default: the greatest key. */
  readonly to?: RangePoint<K>
  /** True: the last one first. Default false. */
  readonly reverse?: boolean
}

/** One version that is there as long as it is valid. */
export interface Pin {
  /** Its reference, or 0. */
  readonly version: number
  isValid(): boolean
}

/** What reads one version after the other of a map, or one version. */
export abstract class RangeReader<K, V> {
  // Declared only, so that each is stored once: the compiler takes them for constants.
  /** @internal */
  declare protected readonly shape: Shape<K, V>
  /** @internal */
  declare protected readonly finder: Finder<K>
  readonly #cursor: Cursor<K, V>

  /** @internal */
  constructor(shape: Shape<K, V>, finder: Finder<K>) {
    this.shape = shape
    this.finder = finder
    this.#cursor = new Cursor(shape, finder)
  }

  /** @internal The reference of the version to be read in this stretch, or 0. */
  protected abstract present(): number
  /** @internal That version, for as long as it is. @throws unless there is one. */
  protected abstract pin(): Pin

  /**
   * The value of the range in which a key lies; undefined if it lies in none.
   *
   * Cost: see "range" in docs/benchmarks.md.
   * @throws ArgumentError for what is no key; EntryTooLargeError; OfflineError.
   */
  lookup(point: RangePoint<K>): V | undefined {
    const { shape } = this
    // The rest is elsewhere: a longer function is not inlined into the loops of users.
    if (!shape.isNarrow || typeof point !== 'number' || point >>> 0 !== point) return this.#lookupOther(point)
    const { memory } = shape
    const version = this.present()
    const word = indexedWord(memory, version, point)
    if ((word & valueBits) === 1) {
      const { readBlock } = shape.values
      // Without one the word has the value itself.
      return readBlock === undefined ? ((word >>> 1) as V) : readBlock(memory, word >>> 1)
    }
    return word === 0 ? undefined : this.#walk(version, point as K)
  }
  /** What is no key of 32 bits. */
  #lookupOther(point: RangePoint<K>): V | undefined {
    const { memory, keys, positions, values } = this.shape
    const key = keys.point('point', point as K)
    if (positions === undefined) return this.#walk(this.present(), key)
    const words = wordsOfWide(key as bigint | Uint32Array)
    const version = this.present()
    const word = indexedWide(memory, version, words[0] ?? 0, words[1] ?? 0)
    if ((word & valueBits) !== 1) return word === 0 ? undefined : this.#walk(version, key)
    const { readBlock } = values
    return readBlock === undefined ? ((word >>> 1) as V) : readBlock(memory, word >>> 1)
  }
  /** From the topmost node on. */
  #walk(version: number, key: K): V | undefined {
    const { shape, finder } = this
    const { memory, values } = shape
    const root = rootOf(memory, version)
    if (root === 0) return undefined
    finder.descend(root * 2, heightOf(memory, version), key)
    const { node, slot } = finder
    return hasValue(memory, node, slot) ? values.read(memory, valueWord(shape, node, slot)) : undefined
  }
  /** As {@link lookup}, the whole range. */
  find(point: RangePoint<K>): Range<K, V> | undefined {
    const cursor = this.#seek(this.shape.keys.point('point', point as K))
    return cursor?.hasValue() === true ? cursor.range() : undefined
  }

  /**
   * As {@link lookup}, and where the range begins and ends goes to `bounds`, as words of 32 bits:
   * one for each, or four for each of 128 bits, the most significant one first. Nothing is written
   * there if there is no range. For keys of kind 'u32' and 'u128'.
   *
   * Cost: mostly two or three times that of {@link lookup}.
   * @throws ArgumentError also for keys of other kinds, and `bounds` that is too short; else as
   *   {@link lookup}.
   */
  locate(point: RangePoint<K>, bounds: Uint32Array): V | undefined {
    const { shape, finder } = this
    checkBounds(shape, bounds)
    const isNarrow = shape.isNarrow && typeof point === 'number' && point >>> 0 === point
    const key = isNarrow ? point : shape.keys.point('point', point as K)
    const version = this.present()
    const word = isNarrow
      ? narrowRange(shape.memory, version, point, bounds)
      : wideRange(shape.memory, version, key as bigint | Uint32Array, bounds)
    if ((word & 1) === 0) return word === 0 ? undefined : locate(shape, finder, version, key as K, bounds)
    const { readBlock } = shape.values
    return readBlock === undefined ? ((word >>> 1) as V) : readBlock(shape.memory, word >>> 1)
  }

  /** The last range that lies before a key. @throws as {@link lookup}. */
  before(point: RangePoint<K>): Range<K, V> | undefined {
    const cursor = this.#seek(this.shape.keys.point('point', point as K))
    return cursor && beforeCursor(cursor)
  }
  /** The first range that lies behind a key. @throws as {@link lookup}. */
  after(point: RangePoint<K>): Range<K, V> | undefined {
    const cursor = this.#seek(this.shape.keys.point('point', point as K))
    return cursor && behindCursor(cursor)
  }
  /**
   * The range in which a key lies, or which is nearest to it; of two as near, the one before it.
   * Keys of bytes are as far from each other as the numbers that they make behind a point.
   *
   * @throws as {@link lookup}.
   */
  nearest(point: RangePoint<K>): Range<K, V> | undefined {
    const { keys } = this.shape
    const key = keys.take('point', point as K)
    // All of one version.
    const version = this.present()
    const cursor = this.#cursor
    if (!this.#seekIn(cursor, version, key)) return undefined
    if (cursor.hasValue()) return cursor.range()
    const before = beforeCursor(cursor)
    const after = this.#seekIn(cursor, version, key) ? behindCursor(cursor) : undefined
    if (before === undefined || after === undefined) return before ?? after
    return keys.distance(key, after.from) < keys.distance(before.to, key) ? after : before
  }
  /** @throws OfflineError. */
  first(): Range<K, V> | undefined {
    const cursor = this.#seek(this.shape.keys.least)
    return cursor && (cursor.hasValue() ? cursor.range() : behindCursor(cursor))
  }
  /** @throws OfflineError. */
  last(): Range<K, V> | undefined {
    const cursor = this.#seek(this.shape.keys.greatest)
    return cursor && (cursor.hasValue() ? cursor.range() : beforeCursor(cursor))
  }

  /** How many ranges there are. @throws OfflineError. */
  get size(): number {
    return sizeOf(this.shape.memory, this.present())
  }
  /** How many times it was changed, modulo 2^32. @throws OfflineError. */
  get version(): number {
    return numberOf(this.shape.memory, this.present())
  }

  /**
   * Goes through the ranges in their order; those that lie partly in the selection are given whole.
   * In one synchronous stretch they are those of one version. If something is awaited in between,
   * it may go on in a newer version, behind what it has given; of one version throughout are those
   * of a view: see `hold` of SharedRangeMap.
   *
   * @throws ArgumentError; EntryTooLargeError; OfflineError.
   */
  entries(selection?: RangeEntriesOptions<K>): Generator<Range<K, V>, undefined> {
    const { keys } = this.shape
    checkOptions('selection', selection, { from: true, to: true, reverse: true })
    const { from, to, reverse = false } = selection ?? {}
    checkFlag('reverse', reverse)
    const low = from === undefined ? keys.least : keys.take('from', from as K)
    const high = to === undefined ? keys.greatest : keys.take('to', to as K)
    if (keys.compare(low, high) > 0) throw refused('from', from, 'not before `to`, nor the same', { to })
    const pin = this.pin()
    return reverse ? this.#backward(pin, low, high) : this.#forward(pin, low, high)
  }
  /** As {@link entries}, where each begins and ends. */
  keys(selection?: RangeEntriesOptions<K>): Generator<[K, K], undefined> {
    return boundsOf(this.entries(selection))
  }
  /** As {@link entries}, their values. */
  values(selection?: RangeEntriesOptions<K>): Generator<V, undefined> {
    return valuesOf(this.entries(selection))
  }
  /** As `entries`, of all. */
  [Symbol.iterator](): Generator<Range<K, V>, undefined> {
    return this.entries()
  }

  #seek(key: K): Cursor<K, V> | undefined {
    return this.#seekIn(this.#cursor, this.present(), key)
  }
  #seekIn(cursor: Cursor<K, V>, version: number, key: K): Cursor<K, V> | undefined {
    const { memory } = this.shape
    const root = rootOf(memory, version)
    if (root === 0) return undefined
    cursor.seek(root, heightOf(memory, version), key)
    return cursor
  }

  *#forward(first: Pin, low: K, high: K): Generator<Range<K, V>, undefined> {
    const { keys } = this.shape
    const cursor = new Cursor(this.shape, this.finder)
    let pin = first
    let isPlaced = false
    let next: K | undefined = low
    while (next !== undefined && keys.compare(next, high) <= 0) {
      const isNew: boolean = isPlaced && !pin.isValid()
      if (isNew) pin = this.pin()
      if (!isPlaced || isNew) {
        if (!this.#seekIn(cursor, pin.version, next)) return
        isPlaced = true
      } else if (!cursor.toLeaf(1)) return
      const batch: Range<K, V>[] = []
      for (let slot = cursor.slot; slot < cursor.count; slot++) {
        if (keys.compare(cursor.key(slot), high) > 0) break
        if (cursor.hasValue(slot)) batch.push(cursor.range(slot))
      }
      const [head] = batch
      if (isNew && head !== undefined && keys.compare(head.from, next) < 0)
        batch[0] = { from: next, to: head.to, value: head.value }
      next = cursor.next(cursor.count - 1)
      yield* batch
    }
  }
  *#backward(first: Pin, low: K, high: K): Generator<Range<K, V>, undefined> {
    const { keys } = this.shape
    const cursor = new Cursor(this.shape, this.finder)
    let pin = first
    let isPlaced = false
    for (let last = high; keys.compare(last, low) >= 0;) {
      const isNew: boolean = isPlaced && !pin.isValid()
      if (isNew) pin = this.pin()
      if (!isPlaced || isNew) {
        if (!this.#seekIn(cursor, pin.version, last)) return
        isPlaced = true
      } else if (!cursor.toLeaf(-1)) return
      const batch: Range<K, V>[] = []
      for (let { slot } = cursor; slot >= 0; slot--) {
        if (keys.compare(cursor.end(slot), low) < 0) break
        if (cursor.hasValue(slot)) batch.push(cursor.range(slot))
      }
      const [head] = batch
      if (isNew && head !== undefined && keys.compare(head.to, last) > 0)
        batch[0] = { from: head.from, to: last, value: head.value }
      const begin = cursor.key(0)
      yield* batch
      if (keys.compare(begin, keys.least) === 0) return
      last = keys.before(begin)
    }
  }
}

/** The first range behind the boundary at which a cursor is. */
function behindCursor<K, V>(cursor: Cursor<K, V>): Range<K, V> | undefined {
  cursor.slot++
  for (;;) {
    for (; cursor.slot < cursor.count; cursor.slot++) if (cursor.hasValue()) return cursor.range()
    if (!cursor.toLeaf(1)) return undefined
  }
}
/** The last range before it. */
function beforeCursor<K, V>(cursor: Cursor<K, V>): Range<K, V> | undefined {
  cursor.slot--
  for (;;) {
    for (; cursor.slot >= 0; cursor.slot--) if (cursor.hasValue()) return cursor.range()
    if (!cursor.toLeaf(-1)) return undefined
  }
}

function* boundsOf<K, V>(ranges: Iterable<Range<K, V>>): Generator<[K, K], undefined> {
  for (const { from, to } of ranges) yield [from, to]
}
function* valuesOf<K, V>(ranges: Iterable<Range<K, V>>): Generator<V, undefined> {
  for (const { value } of ranges) yield value
}
