/**
 * Writing: one writer at a time makes a version, and publishes it with one atomic store.
 *
 * Progress: blocking. The lock of a thread that died is free as soon as that was cleaned up after.
 */
import { store32, type Memory } from '#mem'
import { freeAfter } from '../../alloc/free-after.js'
import type { Heap } from '../../alloc/heap.js'
import { OutOfMemoryError } from '../../machine/errors.js'
import type { Callbacks } from '../../rcu/callbacks.js'
import { chainEntry, linkTo } from '../../rcu/chains.js'
import { ensureStack, SOME } from '../../stack.js'
import type { LayerLock } from '../../sync/layer-lock.js'
import { Removed } from './draft.js'
import { RangeEdit, type Change } from './edit.js'
import { Fresh } from './fresh.js'
import { build, type Built } from './load.js'
import { levelOf, type Shape } from './node.js'
import { endNote, finishPublishing, notePublication } from './notes.js'
import { RangeRoot, RangeVersion } from './range-layout.js'
import type { Finder } from './search.js'
import { currentVersion, numberOf, rootOf, sizeOf } from './version.js'

const words = RangeVersion.words

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
   *
   * @throws OutOfMemoryError; LockTimeoutError. Nothing is changed then.
   */
  change(plan: (edit: RangeEdit<K, V>, version: number) => void): boolean {
    ensureStack(SOME)
    const { memory } = this.#shape
    const { lock, heap } = this.#parts
    const fresh = new Fresh(heap, this.#shape)
    lock.lock(this.#root + RangeRoot.words.lock)
    try {
      const version = currentVersion(memory, this.#current)
      const edit = new RangeEdit(this.#shape, this.#finder, rootOf(memory, version), sizeOf(memory, version))
      plan(edit, version)
      if (!edit.isChanged) return false
      edit.settle()
      const root = fresh.node(edit.root)
      const level = root === 0 ? 0 : levelOf(memory, root * 2)
      this.#publish(version, { root, level, size: edit.size }, fresh, edit.removed.objects)
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
    const { lock, heap } = this.#parts
    const { memory } = this.#shape
    const fresh = new Fresh(heap, this.#shape)
    try {
      const built = build(this.#shape, fresh, ranges)
      lock.lock(this.#root + RangeRoot.words.lock)
      try {
        const version = currentVersion(memory, this.#current)
        const removed = new Removed(this.#shape)
        const root = rootOf(memory, version)
        if (root !== 0) removed.tree(root)
        this.#publish(version, built, fresh, removed.objects)
      } finally {
        lock.unlock()
      }
    } catch (error) {
      freeAfter(error, () => fresh.free())
    }
  }

  /** Publishes a version in the place of `before`. @throws with nothing changed. */
  #publish(
    before: number,
    { root, level, size }: Built,
    fresh: Fresh<K, V>,
    removed: readonly number[],
  ): void {
    const { memory } = this.#shape
    const { i32 } = memory
    const { heap, note, list, callbacks } = this.#parts
    const others = [...fresh.objects]
    const version = fresh.take(RangeVersion.stride, { align: 64 })
    store32(i32, version * 2 + words.node, root)
    store32(i32, version * 2 + words.level, level)
    store32(i32, version * 2 + words.size, size)
    store32(i32, version * 2 + words.number, numberOf(memory, before) + 1)
    store32(i32, version * 2 + words.index, 0)
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
    if (!callbacks.reserve())
      throw new OutOfMemoryError('no room for what is to be freed: boot with more `memory`', { bytes: 4096 })
    ensureStack(SOME)
    const tag = before === 0 ? 0 : heap.tags.wordOf(before * 8)
    notePublication(memory, note, { word: this.#current, version, old, list })
    finishPublishing(memory, note, heap.tags)
    if (before !== 0) void callbacks.free(old, tag, units)
    endNote(memory, note)
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
