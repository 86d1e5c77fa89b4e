import type { OwnCpu } from '../../cpus/own-cpu.js'
import { jsonAs, showAs } from '../../inspect.js'
import { checkFunction, checkOptions, refused } from '../../machine/check.js'
import { endUnlessOffline } from '../../machine/ending.js'
import { checkSignal, checkWait, type AbortSignalLike, type WaitOptions } from '../../machine/wait-options.js'
import type { Srcu } from '../../rcu/srcu.js'
import { isThenable } from '../../thenable.js'
import { assertOpen, type Life } from '../life.js'
import { checkSource, type Source } from '../sources.js'
import {
  RANGES,
  changeOf,
  listChanges,
  listedChange,
  noteChanges,
  setOf,
  type RangeBatch,
  type RangeChange,
} from './batch.js'
import { Cursor } from './cursor.js'
import { differences } from './difference.js'
import type { Change, RangeEdit } from './edit.js'
import { Boundaries } from './load.js'
import type { RangePoint } from './keys.js'
import type { Shape } from './node.js'
import { RangeRoot } from './range-layout.js'
import { RangeReader, type Pin } from './reader.js'
import type { Finder } from './search.js'
import type { Stored } from './values.js'
import { describeRangeMap, verifyRangeMap, type RangeMapReport } from './verify.js'
import { currentVersion, heightOf, numberOf, rootOf } from './version.js'
import { RangeView } from './view.js'
import { RangeWriter, type RangeParts } from './writer.js'

/** What `rangeMap.loadAsync` takes. */
export interface RangeLoadOptions {
  /** Ends the load when it aborts: the call rejects with its reason, and nothing is changed. */
  readonly signal?: AbortSignalLike
}

/** A range that is loaded. */
type Loaded<K, V> = readonly [from: RangePoint<K>, to: RangePoint<K>, value: V]

/** So many differences are written one by one; of more, if they are not more than this share. */
const FEW = 64
const SHARE = 8

/** What a map of ranges is made of, on one thread. */
export interface RangeMapParts<K, V> {
  readonly name: string
  /** Word index of its RangeRoot. */
  readonly root: number
  readonly shape: Shape<K, V>
  readonly finder: Finder<K>
  readonly own: OwnCpu
  readonly domain: Srcu
  readonly writing: RangeParts
  readonly life: Life
}

/**
 * `machine.rangeMap(name, { key, value })`: ranges of keys with their values, for all threads, in
 * shared memory. Ranges do not overlap. They are inclusive: both ends belong to a range, so that
 * the greatest key can be in one. A single key is the range from itself to itself.
 *
 * Looking up takes no lock and changes nothing. Each change makes a new version, and publishes it
 * as a whole: readers see all of it, or nothing. One writer at a time; others wait for it. What has
 * returned is there, whatever becomes of its thread. A thread that is killed in the middle of a
 * change has made all of it, or nothing.
 *
 * What was replaced is freed once each thread has returned to its event loop, and each `hold` that
 * was under way has ended. So a thread that changes much awaits something now and then, or calls
 * {@link barrierBlocking}; memory runs full otherwise.
 */
export class SharedRangeMap<K, V> extends RangeReader<K, V> {
  static {
    const tell = ({ name, size }: { readonly name: string; readonly size: number }) => ({ name, size })
    showAs<{ readonly name: string; readonly size: number }>(this, tell)
    jsonAs<{ readonly name: string; readonly size: number }>(this, 'SharedRangeMap', tell)
  }

  readonly name: string
  readonly #parts: RangeMapParts<K, V>
  // Declared only, as in RangeReader.
  /** @internal Word index of the reference of the version. */
  declare protected readonly current: number
  readonly #writer: RangeWriter<K, V>

  /** @internal Made by `machine.rangeMap`. */
  constructor(parts: RangeMapParts<K, V>) {
    const { name, root, shape, finder, writing } = parts
    super(shape, finder)
    this.name = name
    this.#parts = parts
    this.current = root + RangeRoot.words.current
    this.#writer = new RangeWriter(shape, finder, root, writing)
  }

  /**
   * Gives all keys from `from` to `to` a value, whatever they had. Ranges that lie partly in there
   * keep their rest. Ranges side by side with equal values become one; values are compared by what
   * is stored.
   *
   * @throws ArgumentError for what is no key or value, or if `to` lies before `from`;
   *   EntryTooLargeError; OutOfMemoryError; LockTimeoutError if another thread died in the middle
   *   of a change and cannot be cleaned up after meanwhile; OfflineError. Nothing is changed then.
   */
  set(from: RangePoint<K>, to: RangePoint<K>, value: V): this {
    const change = setOf(this.shape, from, to, value)
    this.#writer.change((edit) => edit.apply(change))
    return this
  }
  /**
   * Takes the value of all keys from `from` to `to` away. Ranges that lie partly in there keep
   * their rest. Returns whether there was any.
   *
   * With memory full it uses what the map keeps for that. It can do so again once that is taken
   * anew, by a later write that has the memory: await {@link barrier} in between, or make many
   * deletions in one {@link batch}. To cut a range in two makes a second copy of its value: one
   * that is larger than a node finds no room.
   * @throws as {@link set}.
   */
  delete(from: RangePoint<K>, to: RangePoint<K>): boolean {
    const change = changeOf(this.shape, from, to, undefined)
    return this.#writer.change((edit) => edit.apply(change), true)
  }
  /**
   * Takes all ranges away. It takes no memory.
   *
   * Cost: the map's lock is held for steps in proportion to what is there.
   * @throws LockTimeoutError and OfflineError as {@link set}.
   */
  clear(): void {
    this.#writer.change((edit) => edit.clear())
  }

  /**
   * Makes many changes, one after the other, as one: others see all of them, or none. They are
   * given as a list of `[from, to, value]`, or `[from, to]` to delete; or `changes` is called with
   * an object that notes them, and they are made when it has returned.
   *
   * Cost: the map's lock is held for steps in proportion to the changes, each of which is a
   * {@link set}. Other writers of the map wait meanwhile; readers do not.
   * @throws as {@link set}; what `changes` throws. Nothing is changed then.
   */
  batch(changes: Iterable<RangeChange<K, V>> | ((batch: RangeBatch<K, V>) => void)): this {
    this.#assertOpen()
    const { plan, isRelief } = this.#planOf(changes)
    this.#writer.change(plan, isRelief)
    return this
  }
  /**
   * As {@link batch}, with `work` in between: the changes are made as a version that nobody sees,
   * then `work` is called, and when it has resolved, that version is seen. So what `work` has
   * written elsewhere can be made. Other threads may change the map meanwhile: the changes are then
   * made anew, after theirs.
   *
   * Cost: that of {@link batch}, before `work`; then a few stores. Its memory is taken all the
   * while.
   * @throws what `work` throws, and as {@link batch}: nothing is changed then. After `work` has
   *   resolved OfflineError and RemovedError, and only if others have changed the map meanwhile
   *   OutOfMemoryError and LockTimeoutError.
   */
  async batchAround(
    changes: Iterable<RangeChange<K, V>> | ((batch: RangeBatch<K, V>) => void),
    work: () => Promise<void>,
  ): Promise<this> {
    checkFunction('work', work)
    this.#assertOpen()
    const { plan, isRelief } = this.#planOf(changes)
    await this.#writer.changeAfter(plan, isRelief, work)
    return this
  }
  #planOf(changes: Iterable<RangeChange<K, V>> | ((batch: RangeBatch<K, V>) => void)): {
    readonly plan: (edit: RangeEdit<K, V>) => void
    readonly isRelief: boolean
  } {
    const noted: readonly (Change<K> | undefined)[] =
      typeof changes === 'function'
        ? noteChanges(this.shape, changes)
        : [...listChanges(this.shape, 'changes', changes, false)]
    const plan = (edit: RangeEdit<K, V>): void => {
      for (const change of noted) {
        if (change === undefined) edit.clear()
        else edit.apply(change)
      }
    }
    return { plan, isRelief: noted.every((change) => change?.value === undefined) }
  }
  /**
   * Puts these ranges, `[from, to, value]` each, in the place of all that there are, as one change.
   * They are sorted, and none overlaps another one. The fastest way for many.
   *
   * Cost: the tree is made without the map's lock. That is held for steps in proportion to what was
   * there, and for keys of kind `u32` and `u128` to what is new.
   * @throws ArgumentError also unless they are sorted; what iterating throws; else as {@link set}.
   *   Nothing is changed then.
   */
  load(ranges: Iterable<Loaded<K, V>>): this {
    this.#assertOpen()
    this.#writer.load(listChanges(this.shape, 'ranges', ranges, true))
    return this
  }
  /**
   * As {@link load}, in many stretches: the event loop has its turn after each 256 ranges. They may
   * come from an asynchronous iterable. Others see all of it at the end, or nothing. Where memory
   * is short, it waits until what was replaced before is free.
   *
   * Cost: as that of {@link load}. The last stretch publishes: it has the steps under the lock.
   * @throws the reason of `signal` when that aborts; else as {@link load}. Nothing is changed then.
   */
  async loadAsync(ranges: Source<Loaded<K, V>>, options: RangeLoadOptions = {}): Promise<this> {
    this.#assertOpen()
    checkOptions('loadAsync', options, { signal: true })
    checkSignal(options.signal)
    checkSource('ranges', ranges, RANGES, true)
    const deadline = this.#parts.life.deadline(options)
    deadline.throwIfAborted()
    const take = (item: Loaded<K, V>): Change<K> => listedChange(this.shape, 'ranges', item, true)
    await this.#writer.loadAsync(ranges, take, deadline)
    return this
  }
  /**
   * As {@link load}, and writes only what differs from what is there. Returns how many places that
   * is.
   *
   * Cost: in proportion to what is there, without writing; that of {@link set} for each difference.
   * If more than an eighth differs, all is written, as {@link load} does.
   * The map's lock is held for all of it.
   * @throws as {@link load}.
   */
  replace(ranges: Iterable<Loaded<K, V>>): number {
    this.#assertOpen()
    const { shape, finder } = this
    const whole = [...listChanges(shape, 'ranges', ranges, true)]
    const list: { readonly key: K; readonly value: Stored }[] = []
    const boundaries = new Boundaries(shape, (key, value) => list.push({ key, value }))
    for (const range of whole) boundaries.add(range)
    boundaries.end()
    const found = { count: 0, isFew: true }
    this.#writer.change((edit, version) => {
      const root = rootOf(shape.memory, version)
      const cursor = root === 0 ? undefined : new Cursor(shape, finder)
      cursor?.seek(root, heightOf(shape.memory, version), shape.keys.least)
      const changes = differences(shape, cursor, list)
      found.count = changes.length
      found.isFew = found.count <= FEW || found.count * SHARE <= list.length
      if (found.isFew) for (const change of changes) edit.apply(change)
    })
    if (!found.isFew) this.#writer.load(whole)
    return found.count
  }

  /**
   * Runs `work` with a view of one version. It ends when `work` returns, which must not return a
   * promise.
   *
   * @throws what `work` throws; ArgumentError; OfflineError.
   */
  snapshot<Result>(work: (view: RangeView<K, V>) => Result): Result {
    checkFunction('work', work)
    const pin = this.pin()
    let isOpen = true
    try {
      const result = work(new RangeView(this.shape, this.finder, pin, () => isOpen))
      if (isThenable(result)) throw refused('work', work, 'one that returns a promise: use `hold`')
      return result
    } finally {
      isOpen = false
    }
  }
  /**
   * As {@link snapshot}, and `work` may await. No writer waits for it; what it may still read is
   * freed after it.
   *
   * @throws what `work` throws; ArgumentError; SrcuMisuseError on a CPU that is deaf; OfflineError.
   */
  async hold<Result>(work: (view: RangeView<K, V>) => Promise<Result> | Result): Promise<Result> {
    checkFunction('work', work)
    this.#assertOpen()
    const { domain, life } = this.#parts
    const token = domain.readLock()
    life.hold()
    let isOpen = true
    try {
      const version = this.present()
      const pin = { version, isValid: () => true }
      return await work(new RangeView(this.shape, this.finder, pin, () => isOpen))
    } finally {
      isOpen = false
      endUnlessOffline(() => domain.readUnlock(token))
      life.endHold()
    }
  }

  /**
   * Resolves when all that was replaced before, by any thread, is free.
   *
   * @throws UnansweredError after `timeout` ms; the reason of `signal` when that aborts;
   *   ArgumentError; OfflineError.
   */
  async barrier(options: WaitOptions = {}): Promise<void> {
    this.#assertOpen()
    checkWait(options)
    const { life, writing } = this.#parts
    await writing.callbacks.barrier(life.deadline(options))
  }
  /**
   * Returns when all that this thread has replaced is free: for loops that do not return to the
   * event loop. The thread says by it that it uses nothing any more that it has read before, of
   * whatever structure.
   *
   * @throws SelfDeadlockError in the middle of a `hold` of this thread, if it has to wait; else as
   *   `machine.rcu.barrierBlocking`.
   */
  barrierBlocking(options: WaitOptions = {}): void {
    this.#assertOpen()
    this.#parts.domain.barrierBlocking(options)
  }

  /** Of what it consists. Cost: in proportion to the nodes. @throws OfflineError. */
  report(): RangeMapReport {
    return describeRangeMap(this.name, this.shape, this.#parts.writing.heap, this.present())
  }
  /**
   * Checks every word of the present version.
   *
   * Cost: in proportion to the ranges.
   * @throws MapCorruptionError, with all that is wrong in `details.faults`; OfflineError.
   */
  verify(): void {
    verifyRangeMap(this.name, this.shape, this.#parts.writing.heap, this.present())
  }

  /** @throws OfflineError; RemovedError. */
  #assertOpen(): void {
    this.#parts.own.assertOnline()
    assertOpen(this.shape.memory)
  }
  /** @internal */
  protected present(): number {
    return currentVersion(this.shape.memory, this.current)
  }
  /** @internal */
  protected pin(): Pin {
    const { own } = this.#parts
    this.#assertOpen()
    const { memory } = this.shape
    // Before the look at the version: nothing of it is freed before that grace period has ended.
    const cookie = own.gracePeriods.snap()
    const version = this.present()
    const number = numberOf(memory, version)
    const isValid = (): boolean => {
      if (!own.gracePeriods.isDone(cookie)) return true
      return this.present() === version && numberOf(memory, version) === number
    }
    return { version, isValid }
  }
}
