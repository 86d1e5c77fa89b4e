/**
 * The collections that a thread has open, and their end: they are removed, or the thread leaves.
 *
 *     remove    removing = its token ─▶ removals + 1 ─▶ a grace period ─▶ nobody uses it
 *     others    a quiescent state ─▶ are there removals? ─▶ the views of each removed one throw
 *
 * Each handle has views of the memory that are its own. In a quiescent state nothing is read, so
 * that is where a thread takes the views of a removed collection away. A grace period waits for one
 * of each CPU, or the CPU is idle and looks when it comes back, before it reads anything. So to use
 * a collection costs nothing more, and nobody reads what is freed after that grace period.
 *
 * Why `removals` may wrap around: a thread would have to miss 2^32 of them between two looks.
 */
import { addAtomic32, loadAtomic32, type Memory } from '#mem'
import type { LayerContext } from '../bootmem/layer.js'
import type { NamedThing } from '../bootmem/names.js'
import { atomic, i32, struct } from '../layout/index.js'
import { shown } from '../machine/check.js'
import { ofThisThread } from '../unsendable.js'
import { RemovedError } from './errors.js'
import { Life } from './life.js'

/** What users remove by its kind and name: name spaces, too. */
export const COLLECTION_KINDS = ['map', 'rangeMap', 'ring', 'space', 'sparseArray'] as const
/** What can be named, listed and removed as a collection. */
export type CollectionKind = (typeof COLLECTION_KINDS)[number]
/** And what the library makes: snapshots without a name, and the areas of all spaces. */
export type PresentKind = CollectionKind | 'snapshot' | 'areas'
export const nouns: Readonly<Record<PresentKind, string>> = {
  map: 'map',
  rangeMap: 'map of ranges',
  ring: 'ring',
  space: 'address space',
  sparseArray: 'sparse array',
  snapshot: 'snapshot',
  areas: 'map of areas',
}

/** Begins each collection's named object. */
export const CollectionHead = struct('CollectionHead', {
  /** Token of the CPU that removes it, or -1 if that has failed; 0: nobody does. */
  removing: atomic(i32),
})
/** One a machine that has had a collection. */
export const CollectionsRoot = struct(
  'CollectionsRoot',
  {
    /** How many were about to be removed. */
    removals: atomic(i32),
  },
  { align: 64 },
)
const ROOT = 'percpu.collections'

/** A collection that this thread has opened. */
interface Opened extends NamedThing {
  readonly kind: PresentKind
  readonly name: string
  readonly handle: unknown
  readonly memory: Memory
  readonly life: Life
}

export class Presence {
  /** Byte addresses of what this thread removes just now. */
  readonly removing = new Set<number>()
  readonly #context: LayerContext
  readonly #opened = new Map<string, Opened>()
  /** Word index of the count; 0 before this thread has opened any. */
  #removals = 0
  #seen = 0
  #ignore: () => void = () => undefined

  constructor(context: LayerContext) {
    this.#context = context
  }

  /**
   * This thread's handle of a collection, which it has just found, attached. `make` is given the
   * views that the handle reads and writes through.
   *
   * @throws RemovedError if it is being removed; what `make` throws.
   */
  open<Handle>(
    kind: PresentKind,
    name: string,
    thing: NamedThing,
    make: (memory: Memory, life: Life) => Handle,
  ): Handle {
    const { own } = this.#context
    if (isRemoving(own.memory, thing.address)) throw beingRemoved(kind, name)
    const key = keyOf(kind, name)
    const known = this.#opened.get(key)
    if (known?.address === thing.address && known.serial === thing.serial) return known.handle as Handle
    if (known) this.#end(known)
    const life = new Life()
    const views = own.openViews()
    try {
      const handle = make(views, life)
      Object.assign(handle as object, { unsendable: ofThisThread })
      this.#opened.set(key, { ...thing, kind, name, handle, memory: views, life })
      return handle
    } catch (error) {
      own.closeViews(views, () => own.offlineError())
      throw error
    }
  }

  /** Those of one kind that are open. */
  *each(kind: PresentKind): Generator<{ readonly name: string; readonly address: number }> {
    for (const opened of this.#opened.values()) if (opened.kind === kind) yield opened
  }

  /** To be called by who has marked one: all threads look which it is. */
  announceRemoval(): void {
    // CR(collections.removals) tells of a removal; pairs with CS in #look: which one it is may be
    // read. The grace period that follows waits for the looks. Mutant: collections/removal-untold.
    addAtomic32(this.#context.own.memory.i32, this.#removals, 1)
  }

  /** This CPU leaves: its views are taken away with those of the machine. */
  abandon(): void {
    this.#ignore()
    this.#opened.clear()
  }

  /** Before anything is opened or removed. @throws OutOfMemoryError; LockTimeoutError. */
  attach(): void {
    if (this.#removals !== 0) return
    const { own, objects } = this.#context
    const { name, size, align, hash } = CollectionsRoot
    const address = objects.openOrCreate(ROOT, { type: name, layout: { name, size, align, hash } })
    this.#removals = address / 4 + CollectionsRoot.words.removals
    // atomic: what was removed before is not found any more.
    this.#seen = loadAtomic32(own.memory.i32, this.#removals)
    this.#ignore = own.gracePeriods.onQuiescent(() => this.#look())
  }

  /** In each quiescent state. */
  #look(): void {
    // CS(collections.removals) finds removals; pairs with CR in announceRemoval: what was marked
    // before is found marked. Mutant: collections/removal-untold.
    const removals = loadAtomic32(this.#context.own.memory.i32, this.#removals)
    if (removals === this.#seen) return
    this.#seen = removals
    for (const opened of this.#opened.values()) if (this.#isRemoved(opened)) this.#end(opened)
  }
  #isRemoved({ kind, address, serial }: Opened): boolean {
    const { names, own } = this.#context
    // With its name its memory is what it was.
    return !names.has(kind, { address, serial }) || isRemoving(own.memory, address)
  }
  #end({ kind, name, memory, life }: Opened): void {
    this.#opened.delete(keyOf(kind, name))
    const makeError = (): RemovedError =>
      new RemovedError(`the ${nouns[kind]} ${shown(name)} was removed`, { kind, name })
    life.end(makeError())
    this.#context.own.closeViews(memory, makeError)
  }
}

/** Whether somebody removes the collection at a byte address, or has begun to. */
export function isRemoving({ i32 }: Memory, address: number): boolean {
  // atomic: as it goes with the count, CR.
  return loadAtomic32(i32, address / 4 + CollectionHead.words.removing) !== 0
}

/** What is thrown at who opens a collection that is being removed. */
export function beingRemoved(kind: PresentKind, name: string): RemovedError {
  return new RemovedError(
    `the ${nouns[kind]} ${shown(name)} is being removed: await that, or remove it again if the thread that did has ended`,
    { kind, name },
  )
}
function keyOf(kind: PresentKind, name: string): string {
  return `${kind} ${name}`
}
