import type { OwnCpu } from '../../cpus/own-cpu.js'
import { ArgumentError } from '../../errors.js'
import { jsonAs, showAs } from '../../inspect.js'
import { checkFlag, checkFunction, checkOptions, checkRange, shown } from '../../machine/check.js'
import { endUnlessOffline } from '../../machine/ending.js'
import { checkWait, type WaitOptions } from '../../machine/wait-options.js'
import { barrierBlocking } from '../../rcu/queueing.js'
import { encodeKey, findValue, lookUp, viewOf, type Hot } from './access.js'
import * as bulk from './bulk.js'
import type { LoadAsyncOptions, LoadOptions } from './bulk.js'
import { END, step } from './cursor.js'
import { DecodedValues } from './decoded.js'
import { isValue, readKey } from './entry.js'
import { hashWords } from './hash.js'
import { MapReader } from './map-reader.js'
import { keyCodecs, type KeyCodec } from '../keys.js'
import { checkTtl, valuesOf, type MapOptions, type OwnOptions, type SetOptions } from './options.js'
import { findEntry } from './reader.js'
import { verifyMap } from './report.js'
import { Scratch } from '../scratch.js'
import type { SpareParts } from './spares.js'
import type { MapTable } from './table.js'
import { countLookup, tallyOf } from './tally.js'
import type { ValueCodec } from '../values.js'
import { endViews } from '../view.js'
import { MapWriter, type Expected } from './writer.js'

/** What `map.verify` takes. */
export interface MapVerifyOptions {
  /**
   * True: no other thread writes meanwhile. Then it is also checked that `size` is the number of
   * entries. Default false.
   */
  readonly quiet?: boolean
}

/**
 * `machine.map(name, { key, value })`: a map for all threads, in shared memory.
 *
 * Looking up takes no lock and changes nothing. Writers of different keys rarely wait for each
 * other. `set` that has returned has stored, whatever becomes of its thread. A thread that is
 * killed in the middle of it has stored all of it, or nothing.
 *
 * What was replaced or deleted is freed after a grace period: once each thread has returned to its
 * event loop. A thread that replaces much awaits something now and then, or calls
 * {@link barrierBlocking}. Memory runs full otherwise.
 *
 * Limits: a key has at most 4095 bytes, a value 1,048,575. Each entry takes 12 bytes and about 9 of
 * its bucket beside key and value, and is rounded up to a size of the heap's.
 */
export class SharedMap<K, V, View = V> extends MapReader<K, V, View> {
  static {
    const tell = ({ name, size }: { readonly name: string; readonly size: number }) => ({ name, size })
    showAs<{ readonly name: string; readonly size: number }>(this, tell)
    jsonAs<{ readonly name: string; readonly size: number }>(this, 'SharedMap', tell)
  }

  /** @internal */
  readonly ownOptions: OwnOptions
  readonly #parts: SpareParts
  readonly #writer: MapWriter
  /** Calls of this thread that have changed it. */
  #writes = 0

  /** @internal Made by `machine.map`. */
  constructor(
    name: string,
    table: MapTable,
    parts: SpareParts & { readonly own: OwnCpu },
    { key, value, cache = 0, stats = false }: Pick<MapOptions, 'key' | 'value' | 'cache' | 'stats'>,
  ) {
    const { codec, view } = valuesOf(value)
    const hot: Hot<K, V> = {
      table,
      key: new Scratch(4096 + 64),
      value: new Scratch(4096),
      keys: keyCodecs[key] as unknown as KeyCodec<K>,
      values: codec as ValueCodec<V>,
      makeView: view,
      decoded: cache > 0 ? new DecodedValues(table, cache) : undefined,
      tally: stats ? tallyOf(table, parts.cpu) : 0,
    }
    super(name, hot, parts.own, parts.life)
    this.ownOptions = { cache, stats }
    this.#parts = parts
    this.#writer = new MapWriter(table, parts)
    // Last: what throws begins nothing. Mutant: collections/kept-unlooked.
    hot.decoded?.begin(parts.own.gracePeriods, parts.life)
  }

  /**
   * As {@link view}, for `work` that awaits: the value stays as it is until its promise settles,
   * and no writer waits. For maps with the option `hold`. Meanwhile what is replaced in the map is
   * not freed: hold for a short time.
   *
   * @throws what `work` throws; ArgumentError also for a map without that option; SrcuMisuseError
   *   on a CPU that is deaf; else as {@link get}.
   */
  async hold<Result>(key: K, work: (view: View) => Promise<Result> | Result): Promise<Result | undefined> {
    this.assertOpen()
    checkFunction('work', work)
    const { domain, life } = this.#parts
    if (domain === undefined)
      throw new ArgumentError(`the map ${shown(this.name)} was not made with hold: true`, { name: this.name })
    // What is no key begins no section.
    const hash = encodeKey(this.hot, key)
    const scope = { memory: this.hot.table.memory }
    const token = domain.readLock()
    life.hold()
    try {
      const view = viewOf(this.hot, hash, scope) as View | undefined
      return view === undefined ? undefined : await work(view)
    } finally {
      endViews(scope)
      endUnlessOffline(() => domain.readUnlock(token))
      life.endHold()
    }
  }

  /**
   * Resolves when all that was replaced or deleted before, by any thread, is free.
   *
   * @throws UnansweredError after `timeout` ms; the reason of `signal` when that aborts;
   *   ArgumentError; OfflineError.
   */
  async barrier(options: WaitOptions = {}): Promise<void> {
    this.assertOpen()
    checkWait(options)
    await this.#parts.queueing.callbacks.barrier(this.#parts.life.deadline(options))
  }
  /**
   * Returns when all that this thread has replaced or deleted is free: for loops that do not return
   * to the event loop. The thread says by it that it uses nothing any more that it has read before,
   * of whatever structure.
   *
   * @throws SelfDeadlockError in the middle of a `hold` of this thread, if it has to wait; else as
   *   `machine.rcu.barrierBlocking`.
   */
  barrierBlocking(options: WaitOptions = {}): void {
    this.assertOpen()
    barrierBlocking(this.#parts.queueing, options)
  }

  /**
   * Sets the value of a key. In a map with `ttl`, `options.ttl` says for how long instead, in ms.
   *
   * @throws ArgumentError for what is no key or value; EntryTooLargeError; OutOfMemoryError;
   *   LockTimeoutError if another thread died in the middle of a change and cannot be cleaned up
   *   after meanwhile; OfflineError. Nothing is changed then.
   */
  set(key: K, value: V, options?: SetOptions): this {
    const { key: scratch, value: encoded, values } = this.hot
    const ttl = this.#ttlOf(options)
    // First the value: its encoding may run code of the user's.
    values.encode(value, encoded)
    const hash = encodeKey(this.hot, key)
    this.#writer.put(scratch, hash, encoded, ttl)
    this.#writes++
    return this
  }

  /**
   * Takes an entry away. Returns whether there was one.
   *
   * @throws ArgumentError; EntryTooLargeError; LockTimeoutError as for {@link set}; OfflineError.
   */
  delete(key: K): boolean {
    const hash = encodeKey(this.hot, key)
    const isDeleted = this.#writer.remove(this.hot.key, hash)
    if (isDeleted) this.#writes++
    return isDeleted
  }

  /**
   * Takes an entry away, and returns its value; undefined if there was none. Of several that do so
   * at once, one gets the value, as {@link get} gives it.
   *
   * Cost: that of {@link get} and {@link delete}.
   * @throws as {@link delete}. The entry is there then.
   */
  take(key: K): V | undefined {
    for (;;) {
      const found = findValue(this.hot, key)
      // Mutant: collections/taken-by-two.
      if (found.value === undefined || this.#exchange(key, found, undefined, 0)) return found.value
    }
  }

  /**
   * Sets the value of a key to what `change` makes of the one that it has; undefined deletes it.
   * `change` is called again if another thread changes the value meanwhile. Returns the new value.
   * `options` are those of {@link set}.
   *
   * @throws what `change` throws; ArgumentError also if `change` changes the entry itself; else as
   *   {@link set}. Nothing is changed then.
   */
  update(key: K, change: (value: V | undefined) => V | undefined, options?: SetOptions): V | undefined {
    checkFunction('change', change)
    const ttl = this.#ttlOf(options)
    for (;;) {
      const found = findValue(this.hot, key)
      const writes = this.#writes
      const value = change(found.value)
      if (this.#exchange(key, found, value, ttl)) return value
      this.#assertOthers('change', key, found, writes)
    }
  }

  /**
   * Sets the value of a key if it is `expected`; undefined means no entry, for both. Returns
   * whether it was. Values are compared by what is stored: of JSON, by its text. `options` are
   * those of {@link set}.
   *
   * @throws as {@link set}; ArgumentError also if reading `value` or `expected` changes the entry.
   */
  compareAndSet(key: K, expected: V | undefined, value: V | undefined, options?: SetOptions): boolean {
    const { value: encoded, values, table } = this.hot
    const ttl = this.#ttlOf(options)
    for (;;) {
      const writes = this.#writes
      // Also if it is not needed, it must be one.
      if (value !== undefined) values.encode(value, encoded)
      if (expected !== undefined) values.encode(expected, encoded)
      const found = lookUp(this.hot, key)
      const isExpected =
        expected === undefined
          ? !found.isLive
          : found.isLive && isValue(table.memory.i32, found.entry * 2, encoded, table.pad)
      if (!isExpected) return false
      if (this.#exchange(key, found, value, ttl)) return true
      this.#assertOthers('value', key, found, writes)
    }
  }

  /**
   * The value of a key. If it has none, it is set to `value` first. `options` are those of
   * {@link set}.
   *
   * @throws as {@link set}.
   */
  getOrInsert(key: K, value: V, options?: SetOptions): V {
    const { values, value: encoded, table, tally } = this.hot
    const ttl = this.#ttlOf(options)
    for (let isFirst = true; ; isFirst = false) {
      const writes = this.#writes
      // It must be one, also if it is not needed.
      values.encode(value, encoded)
      const found = findValue(this.hot, key)
      if (tally !== 0 && isFirst) countLookup(table.memory, tally, found.value !== undefined)
      if (found.value !== undefined) return found.value
      if (this.#exchange(key, found, value, ttl)) return value
      this.#assertOthers('value', key, found, writes)
    }
  }

  /**
   * As {@link getOrInsert}, with the value that `make` returns, which is called only if it is
   * needed. If another thread sets one meanwhile, that one stays.
   *
   * @throws what `make` throws; else as {@link set}.
   */
  getOrInsertComputed(key: K, make: (key: K) => V, options?: SetOptions): V {
    checkFunction('make', make)
    this.#ttlOf(options)
    const found = findValue(this.hot, key)
    if (found.value === undefined) return this.getOrInsert(key, make(key), options)
    const { table, tally } = this.hot
    if (tally !== 0) countLookup(table.memory, tally, true)
    return found.value
  }

  /**
   * Sets all these. Not as a whole: others see one after the other.
   *
   * @throws as {@link set}, with those before it set; what iterating throws.
   */
  setMany(entries: Iterable<readonly [K, V]>): this {
    this.assertOpen()
    bulk.setAll(this, entries)
    return this
  }
  /**
   * As {@link setMany}, with room made for them first.
   *
   * @throws OutOfMemoryError if there is no room for so many, with nothing changed; else as
   *   {@link setMany}.
   */
  load(entries: Iterable<readonly [K, V]>, options: LoadOptions = {}): this {
    this.assertOpen()
    const sizeHint = bulk.checkLoad(entries, options)
    if (sizeHint > 0) this.#writer.reserve(this.size + sizeHint)
    return this.setMany(entries)
  }
  /**
   * As {@link load}, also of what comes asynchronously, and in many stretches: the event loop has
   * its turn in between, and what was replaced is freed. So memory need only hold what stays.
   *
   * @throws the reason of `signal` when that aborts; else as {@link load}. What was set before
   *   stays set.
   */
  async loadAsync(
    entries: Iterable<readonly [K, V]> | AsyncIterable<readonly [K, V]>,
    options: LoadAsyncOptions = {},
  ): Promise<this> {
    this.assertOpen()
    const sizeHint = bulk.checkLoadAsync(entries, options)
    if (sizeHint > 0) this.#writer.reserve(this.size + sizeHint)
    await bulk.setAllAsync(this, this.#parts, entries, options)
    return this
  }

  /**
   * Takes all entries away that there are when it begins. Not as a whole: what others set meanwhile
   * may stay.
   *
   * @throws LockTimeoutError as for {@link set}; OfflineError.
   */
  clear(): void {
    const { table, key } = this.hot
    const entries: number[] = []
    for (let cursor = 0; cursor < END;) {
      cursor = step(table, cursor, entries)
      for (const entry of entries) {
        readKey(table.memory, entry * 2, key)
        key.end(key.length)
        const hash = hashWords(key.words, key.length, table.seed0, table.seed1)
        if (this.#writer.remove(key, hash)) this.#writes++
      }
    }
  }

  /**
   * Takes up to so many entries out of a map with `capacity` or `ttl`: those whose time is over,
   * and those that have not been looked up for long. Returns how many it was. Their memory is free
   * after a grace period. Entries in buckets that another thread changes just now are left out.
   *
   * Cost: at most a few visits of each bucket, one for each entry in it.
   * @throws ArgumentError also for a map with neither; OfflineError.
   */
  evict(count: number): number {
    this.assertOpen()
    checkRange('count', count, 0, 2 ** 31 - 1)
    if (!this.hot.table.isCache)
      throw new ArgumentError(`the map ${shown(this.name)} has neither capacity nor ttl`, { name: this.name })
    const evicted = this.#writer.evict(count)
    this.#writes += evicted
    return evicted
  }

  /**
   * Checks every word of the map.
   *
   * Cost: in proportion to the entries; each bucket is locked for some microseconds.
   * @throws MapCorruptionError, with all that is wrong in `details.faults`; ArgumentError;
   *   LockTimeoutError as for {@link set}; OfflineError.
   */
  verify(options: MapVerifyOptions = {}): void {
    checkOptions('map.verify', options, { quiet: true })
    checkFlag('quiet', options.quiet)
    verifyMap(this.name, this.hot.table, this.#parts, options.quiet === true)
  }

  #ttlOf(options: SetOptions | undefined): number {
    const { ttl } = this.hot.table
    return options === undefined ? ttl : checkTtl(options, ttl)
  }
  /** @throws ArgumentError if it was the user's code that has changed the entry: it would again. */
  #assertOthers(what: string, key: K, found: Expected, writes: number): void {
    if (this.#writes !== writes && this.#isOwn(key, found))
      throw new ArgumentError(`${what}: it has changed the entry itself`, { key })
  }
  /** Whether there is another entry by now that this thread has made. */
  #isOwn(key: K, { stamp: before }: Expected): boolean {
    const { entry, stamp } = lookUp(this.hot, key)
    return entry !== 0 && stamp !== before && (stamp & 0xff) === this.own.cpu
  }
  /** Sets the value if the entry is still that one; undefined deletes it. */
  #exchange(key: K, found: Expected, value: V | undefined, ttl: number): boolean {
    const { key: scratch, value: encoded, values } = this.hot
    if (value !== undefined) values.encode(value, encoded)
    const hash = encodeKey(this.hot, key)
    const isDone =
      value !== undefined
        ? this.#writer.put(scratch, hash, encoded, ttl, found)
        : found.entry === 0
          ? findEntry(this.hot.table, scratch, hash) === 0
          : this.#writer.remove(scratch, hash, found)
    if (isDone) this.#writes++
    return isDone
  }
}
