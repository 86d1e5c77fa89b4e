/**
 * Writing: one writer at a time makes a version, and publishes it with one atomic store.
 *
 * Progress: blocking. The lock of a thread that died is free as soon as that was cleaned up after.
 */
import type { Memory } from '#mem'
import { freeAfter } from '../../alloc/free-after.js'
import type { Heap } from '../../alloc/heap.js'
import { endUnlessOffline } from '../../machine/ending.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import { nextTurn } from '../../machine/platform.js'
import type { Deadline } from '../../machine/wait-options.js'
import type { Callbacks } from '../../rcu/callbacks.js'
import { chainEntry, linkTo } from '../../rcu/chains.js'
import { ensureStack, SOME } from '../../stack.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import { assertOpen } from '../life.js'
import { STRETCH, takeAll, type Source } from '../sources.js'
import { Removed } from './draft.js'
import { RangeEdit, type Change } from './edit.js'
import { Fresh, noRoom } from './fresh.js'
import { eachPage } from './index-pages.js'
import { TreeBuilder, type Built } from './load.js'
import { newIndex } from './new-index.js'
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

type Plan<K, V> = (edit: RangeEdit<K, V>, version: number) => void

/** A version that nobody finds yet. */
interface Made<K, V> {
  /** References of it, and of the one that it is to replace. */
  readonly version: number
  readonly before: number
  readonly fresh: Fresh<K, V>
  /** What is freed with the one before. */
  readonly removed: readonly number[]
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
  change(plan: Plan<K, V>, isRelief = false): boolean {
    ensureStack(SOME)
    let made: Made<K, V> | undefined
    this.#lock()
    try {
      made = this.#make(plan, isRelief)
      if (made !== undefined) this.#commit(made)
      return made !== undefined
    } catch (error) {
      freeAfter(error, () => made?.fresh.free())
    } finally {
      this.#parts.lock.unlock()
    }
  }
  /**
   * As {@link change}, which `work` comes before: its memory is there already while `work` runs.
   * The lock is not held meanwhile. If others change the map, it is made anew.
   *
   * @throws what `work` throws; else as {@link change}, behind `work` only if others changed it.
   */
  async changeAfter(plan: Plan<K, V>, isRelief: boolean, work: () => Promise<void>): Promise<void> {
    ensureStack(SOME)
    const { lock } = this.#parts
    const locked = <Result>(stretch: () => Result): Result => {
      this.#lock()
      try {
        return stretch()
      } finally {
        lock.unlock()
      }
    }
    const made = locked(() => this.#make(plan, isRelief))
    try {
      await work()
      const isDone = locked(() => {
        // Mutant: collections/range-late-over-others.
        if (made === undefined || !this.#isStill(made)) return false
        this.#commit(made)
        return true
      })
      if (isDone) return
    } catch (error) {
      freeAfter(error, () => {
        endUnlessOffline(() => made?.fresh.free())
      })
    }
    made?.fresh.free()
    this.change(plan, isRelief)
  }
  /** Whether the version is there that a new one was made of. */
  #isStill({ before, version }: Made<K, V>): boolean {
    const { memory } = this.#shape
    if (currentVersion(memory, this.#current) !== before) return false
    return numberOf(memory, version) === (numberOf(memory, before) + 1) >>> 0
  }

  /** A version that nobody finds yet; undefined if nothing differs. @throws with nothing taken. */
  #make(plan: Plan<K, V>, isRelief: boolean): Made<K, V> | undefined {
    const { memory } = this.#shape
    const fresh = new Fresh(this.#parts.heap, this.#shape)
    return fresh.whole(() => {
      const version = currentVersion(memory, this.#current)
      const edit = new RangeEdit(this.#shape, this.#finder, rootOf(memory, version), sizeOf(memory, version))
      plan(edit, version)
      if (!edit.isChanged) return undefined
      edit.settle()
      // Mutant: collections/range-reserve-unused.
      if (isRelief) fresh.allow(reserveAt(memory, reserveOf(memory, version)))
      const root = fresh.node(edit.root)
      const level = root === 0 ? 0 : levelOf(memory, root * 2)
      const built = { root, level, size: edit.size }
      return this.#complete(version, built, fresh, edit.removed.objects, edit.regions, isRelief)
    })
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
        this.#commit(this.#complete(version, built, fresh, removed.objects, [[least, greatest]]))
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

  /** All of a version in the place of `before`. @throws with nothing changed. */
  #complete(
    before: number,
    built: Built,
    fresh: Fresh<K, V>,
    removed: number[],
    regions: readonly (readonly [K, K])[],
    isRelief = false,
  ): Made<K, V> {
    const shape = this.#shape
    const { memory } = shape
    const isEmpty = built.root === 0
    const spare = emptyOf(memory, before)
    // To take everything away takes no memory.
    const isSpare = isEmpty && spare !== 0
    const take = (bytes: number): number => (isSpare ? spare : fresh.take(bytes, onLine))
    const { version, index } = this.#take(take, before, built, regions, fresh, removed, isRelief)
    const empty = isEmpty ? 0 : spare !== 0 ? spare : fresh.take(RangeVersion.stride, onLine)
    const reserve = this.#reserve(before, built, fresh, removed, isRelief)
    fillVersion(memory, version, { ...built, number: numberOf(memory, before) + 1, empty, reserve, index })
    // To publish it takes nothing that can be missing.
    if (!this.#parts.callbacks.reserve() && !isSpare && !isRelief) throw noRoom(4096)
    return { before, version, fresh, removed }
  }
  /** Publishes a version. */
  #commit({ before, version, fresh, removed }: Made<K, V>): void {
    const { memory } = this.#shape
    const { heap, note, list, callbacks } = this.#parts
    const others = [...fresh.objects, ...fresh.used].filter((object) => object !== version)
    chain(memory, version, others)
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
        const index = newIndex(this.#shape, this.#finder, { before, built, regions, fresh, dropped })
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
