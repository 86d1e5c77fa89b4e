/**
 * Writing: one writer at a time makes a version, and publishes it with one atomic store.
 *
 * Progress: blocking. The lock of a thread that died is free as soon as that was cleaned up after.
 */
import type { Memory } from '#mem'
import { freeAfter } from '../../alloc/free-after.js'
import type { Heap } from '../../alloc/heap.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import { nextTurn } from '../../machine/platform.js'
import type { Deadline } from '../../machine/wait-options.js'
import type { Callbacks } from '../../rcu/callbacks.js'
import { chainEntry, linkTo } from '../../rcu/chains.js'
import { ensureStack, SOME } from '../../stack.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import { assertOpen } from '../life.js'
import { STRETCH, takeAll, type Source } from '../sources.js'
import { Cursor } from './cursor.js'
import { Removed } from './draft.js'
import { RangeEdit, type Change } from './edit.js'
import { Fresh, noRoom } from './fresh.js'
import { eachPage, makeIndex, type Region } from './index-pages.js'
import { TreeBuilder, type Built } from './load.js'
import { levelOf, type Shape } from './node.js'
import { endNote, finishPublishing, notePublication } from './notes.js'
import { RangeRoot, RangeVersion } from './range-layout.js'
import { isEnough, partsOf, reserveAt, takeReserve } from './reserve.js'
import type { Finder } from './search.js'
import {
  currentVersion,
  emptyOf,
  fillVersion,
  numberOf,
  indexOf,
  reserveOf,
  rootOf,
  sizeOf,
  versionBytes,
} from './version.js'

const onLine = { align: 64 } as const

/** What a thread writes a map of ranges with. */
export interface RangeParts {
  readonly heap: Heap
  readonly lock: LayerLock
  /** Of the map's domain. */
  readonly callbacks: Callbacks
  /** Word indices: of the CPU's note, and of its list of what is to be freed. */
  readonly note: number
  readonly list: number
}

export class RangeWriter<K, V> {
  readonly #shape: Shape<K, V>
  readonly #finder: Finder<K>
  readonly #root: number
  readonly #current: number
  readonly #parts: RangeParts

  /** `root`: word index of the map's RangeRoot. */
  constructor(shape: Shape<K, V>, finder: Finder<K>, root: number, parts: RangeParts) {
    this.#shape = shape
    this.#finder = finder
    this.#root = root
    this.#current = root + RangeRoot.words.current
    this.#parts = parts
  }

  /**
   * Makes these changes, one after the other, in one version. Returns whether anything differs.
   * `isRelief`: ranges end, and none begins; it may use the reserve.
   *
   * @throws OutOfMemoryError; LockTimeoutError. Nothing is changed then.
   */
  change(plan: (edit: RangeEdit<K, V>, version: number) => void, isRelief = false): boolean {
    ensureStack(SOME)
    const { memory } = this.#shape
    const { lock, heap } = this.#parts
    const fresh = new Fresh(heap, this.#shape)
    this.#lock()
    try {
      const version = currentVersion(memory, this.#current)
      const edit = new RangeEdit(this.#shape, this.#finder, rootOf(memory, version), sizeOf(memory, version))
      plan(edit, version)
      if (!edit.isChanged) return false
      edit.settle()
      // Mutant: collections/range-reserve-unused.
      if (isRelief) fresh.allow(reserveAt(memory, reserveOf(memory, version)))
      const root = fresh.node(edit.root)
      const level = root === 0 ? 0 : levelOf(memory, root * 2)
      const built = { root, level, size: edit.size }
      this.#publish(version, built, fresh, edit.removed.objects, edit.regions, isRelief)
      return true
    } catch (error) {
      freeAfter(error, () => fresh.free())
    } finally {
      lock.unlock()
    }
  }

  /**
   * Puts these ranges, which are sorted, in the place of all that there are.
   *
   * @throws ArgumentError unless they are sorted; what `ranges` throws; else as {@link change}.
   */
  load(ranges: Iterable<Change<K>>): void {
    ensureStack(SOME)
    const fresh = new Fresh(this.#parts.heap, this.#shape)
    fresh.whole(() => {
      const builder = new TreeBuilder(this.#shape, fresh)
      for (const range of ranges) {
        builder.add(range)
        builder.settle()
      }
      builder.end()
      builder.settle()
      this.#replace(builder.build(), fresh)
    })
  }
  /**
   * As {@link load}, in many stretches. Where memory is short, it waits for what was replaced
   * before to be freed. `changeOf`: what an item stands for.
   *
   * @throws as {@link load}; what `changeOf` throws; the reason of the signal.
   */
  async loadAsync<T>(source: Source<T>, changeOf: (item: T) => Change<K>, deadline: Deadline): Promise<void> {
    ensureStack(SOME)
    const { heap, callbacks } = this.#parts
    const fresh = new Fresh(heap, this.#shape)
    const relieved = async <Made>(make: () => Made): Promise<Made> => {
      try {
        return make()
      } catch (error) {
        if (!(error instanceof OutOfMemoryError)) throw error
      }
      await callbacks.barrier(deadline)
      return make()
    }
    const builder = new TreeBuilder(this.#shape, fresh)
    const settle = (): void => {
      builder.settle()
    }
    const pause = async (): Promise<void> => {
      await relieved(settle)
      await nextTurn()
      deadline.throwIfAborted()
    }
    try {
      let count = 0
      await takeAll(source, (item) => {
        builder.add(changeOf(item))
        return ++count % STRETCH === 0 ? pause() : undefined
      })
      builder.end()
      await relieved(settle)
      const built = await relieved(() => builder.build())
      await relieved(() => {
        this.#replace(built, fresh)
      })
    } catch (error) {
      freeAfter(error, () => fresh.free())
    }
  }
  /** Publishes a tree in the place of all that there is. @throws with nothing changed. */
  #replace(built: Built, fresh: Fresh<K, V>): void {
    const { memory } = this.#shape
    this.#lock()
    try {
      const version = currentVersion(memory, this.#current)
      const removed = new Removed(this.#shape)
      const root = rootOf(memory, version)
      if (root !== 0) removed.tree(root)
      const { least, greatest } = this.#shape.keys
      fresh.whole(() => {
        this.#publish(version, built, fresh, removed.objects, [[least, greatest]])
      })
    } finally {
      this.#parts.lock.unlock()
    }
  }

  /**
   * Frees all versions, once nobody uses the map any more. Returns whether there was any.
   *
   * @throws OutOfMemoryError; LockTimeoutError. The map has no ranges then, or what it had.
   */
  end(): boolean {
    this.change((edit) => edit.clear())
    const { memory } = this.#shape
    const { note, list, callbacks, heap } = this.#parts
    const version = currentVersion(memory, this.#current)
    if (version === 0) return false
    chain(memory, version, [])
    const old = chainEntry(version * 8)
    if (!callbacks.reserve()) throw noRoom(4096)
    const tag = heap.tags.wordOf(version * 8)
    notePublication(memory, note, { word: this.#current, version: 0, old, list })
    finishPublishing(memory, note, heap.tags)
    void callbacks.free(old, tag, 0)
    endNote(memory, note)
    return true
  }

  #lock(): void {
    // First: the views of a map that was removed throw, and its lock may be anything by now.
    assertOpen(this.#shape.memory)
    this.#parts.lock.lock(this.#root + RangeRoot.words.lock)
  }

  /** Publishes a version in the place of `before`. @throws with nothing changed. */
  #publish(
    before: number,
    built: Built,
    fresh: Fresh<K, V>,
    removed: number[],
    regions: readonly (readonly [K, K])[],
    isRelief = false,
  ): void {
    const shape = this.#shape
    const { memory } = shape
    const { heap, note, list, callbacks } = this.#parts
    const isEmpty = built.root === 0
    const spare = emptyOf(memory, before)
    // To take everything away takes no memory.
    const isSpare = isEmpty && spare !== 0
    const take = (bytes: number): number => (isSpare ? spare : fresh.take(bytes, onLine))
    const { version, index } = this.#take(take, before, built, regions, fresh, removed, isRelief)
    const empty = isEmpty ? 0 : spare !== 0 ? spare : fresh.take(RangeVersion.stride, onLine)
    const reserve = this.#reserve(before, built, fresh, removed, isRelief)
    fillVersion(memory, version, { ...built, number: numberOf(memory, before) + 1, empty, reserve, index })
    chain(
      memory,
      version,
      [...fresh.objects, ...fresh.used].filter((object) => object !== version),
    )
    let old = 0
    let units = 0
    if (before !== 0) {
      // Nobody reads the links of what others find.
      chain(memory, before, removed)
      old = chainEntry(before * 8)
      for (const object of removed) units += heap.tags.bytesOf(object * 8) >>> 3
    }
    // Before the note: nothing can fail behind it.
    const hasRoom = callbacks.reserve()
    if (!hasRoom && !isSpare && !isRelief) throw noRoom(4096)
    ensureStack(SOME)
    const tag = before === 0 ? 0 : heap.tags.wordOf(before * 8)
    // Without room this thread alone frees it. A reaper has no place for it either.
    notePublication(memory, note, { word: this.#current, version, old: hasRoom ? old : 0, list })
    finishPublishing(memory, note, heap.tags)
    // Whatever fails from here on, others find it. Mutant: collections/range-freed-published.
    fresh.published()
    try {
      if (before !== 0) void callbacks.free(old, tag, units)
    } finally {
      // The next note would be taken for this one.
      endNote(memory, note)
    }
  }

  /** The reference of what the new version keeps for when memory is full. */
  #reserve(
    before: number,
    { root, level }: Built,
    fresh: Fresh<K, V>,
    removed: number[],
    isRelief: boolean,
  ): number {
    const shape = this.#shape
    const { memory } = shape
    const old = reserveOf(memory, before)
    const isUsed = fresh.used.length > 0
    if (root !== 0 && !isUsed && isEnough(shape, old, root, level)) return old
    let made = 0
    if (root !== 0)
      try {
        made = fresh.whole(() => takeReserve(shape, fresh, root, level))
      } catch (error) {
        if (!isRelief || !(error instanceof OutOfMemoryError)) throw error
        // Later, when there is memory again.
        if (!isUsed) return old
      }
    // Mutant: collections/range-reserve-kept.
    for (const object of partsOf(memory, old)) if (!fresh.used.includes(object)) removed.push(object)
    return made
  }

  /**
   * The reference of the new version, which `take` takes, and its index. That makes the version
   * much larger; with memory full, ranges end also without one.
   */
  #take(
    take: (bytes: number) => number,
    before: number,
    built: Built,
    regions: readonly (readonly [K, K])[],
    fresh: Fresh<K, V>,
    removed: number[],
    isRelief: boolean,
  ): { readonly version: number; readonly index: Int32Array | undefined } {
    const { memory } = this.#shape
    const dropped: number[] = []
    try {
      const made = fresh.whole(() => {
        const index = this.#index(before, built, regions, fresh, dropped)
        return { version: take(versionBytes(index)), index }
      })
      removed.push(...dropped)
      return made
    } catch (error) {
      if (!isRelief || !(error instanceof OutOfMemoryError)) throw error
    }
    // A later version has one again.
    for (const word of indexOf(memory, before) ?? [])
      eachPage(memory, word, (page) => {
        removed.push(page)
      })
    return { version: take(versionBytes(undefined)), index: undefined }
  }
  /** The words of an index. */
  #index(
    before: number,
    { root, level, size }: Built,
    changed: readonly (readonly [K, K])[],
    fresh: Fresh<K, V>,
    removed: number[],
  ): Int32Array | undefined {
    const { memory, positions, keys } = this.#shape
    if (positions === undefined) return undefined
    const { shift, isWide } = positions
    const shape = { ...this.#shape, keys: positions.keys } as unknown as Shape<number, unknown>
    const cursor = new Cursor(shape, this.#finder as unknown as Finder<number>)
    const goTo = (key: K | Uint32Array): void => cursor.seek(root, level, key as number)
    const seek = (position: number): void => goTo(positions.first(position))
    // What follows a range may have another block than before.
    const regions = changed.map(([low, high]): Region => {
      const end = keys.after(high)
      if (root === 0 || end === undefined) return [positions.of(low), Infinity]
      goTo(end)
      return [positions.of(low), Math.ceil(cursor.next() ?? Infinity) - 1]
    })
    const words = indexOf(memory, before)
    const take = (bytes: number): number => fresh.takeNew(bytes)
    const drop = (page: number): void => void removed.push(page)
    return makeIndex({ memory, shift, isWide, words, size, regions, cursor, seek, take, drop })
  }
}

/** Links objects, one behind the other. */
function chain(memory: Memory, first: number, others: readonly number[]): void {
  let last = first
  for (const object of others) {
    linkTo(memory, last, object)
    last = object
  }
  linkTo(memory, last, 0)
}
