/**
 * Names of one thread: finding needs no lock; giving and taking away are done under the lock of the
 * names, one at a time, in a bounded number of steps.
 *
 *     create   block in flight, filled ─▶ note ─▶ linked ─▶ persistent ─▶ no note
 *     remove   note ─▶ in flight ─▶ unlinked ─▶ queued to be freed after a grace period ─▶ no note
 *
 * A thread that dies anywhere has given the name, or not: the link is one store. Its note names the
 * entry that it was at. So the reaper finds whether the entry is linked, and makes its block
 * persistent or lets it go, before the heap frees what was in flight (recovery.ts).
 *
 * What throws has changed nothing: a block that is not linked is freed, with the name free. One
 * that was linked for a moment is taken away as any other.
 */
import { load32, store32, storeU32, type Memory } from '#mem'
import type { Heap } from '../alloc/heap.js'
import type { CreateSpec, ObjectInfo, ObjectSpec } from '../bootmem/directory.js'
import { checkSpec } from '../bootmem/directory.js'
import type { Memblock } from '../bootmem/memblock.js'
import { NAME_SPACES, type NamedThing, type Names, type NameSpace } from '../bootmem/names.js'
import { shown } from '../machine/check.js'
import { ObjectExistsError, ObjectMismatchError, OutOfMemoryError } from '../machine/errors.js'
import { reportError } from '../machine/platform.js'
import { ensureStack, MANY, SOME } from '../stack.js'
import { LockTimeoutError } from '../sync/errors.js'
import type { LayerLock } from '../sync/layer-lock.js'
import {
  blockOf,
  entryOf,
  hasName,
  infoOf,
  planOf,
  thingOf,
  wantedOf,
  writeEntry,
  type Block,
  type Plan,
  type Wanted,
} from './entry.js'
import { FIRST_BUCKETS, LINKING, MAX_BUCKETS, NameBucket, NameEntry, NamesCpu, UNLINKING } from './layouts.js'
import type { NamesMap } from './names-map.js'
import { missing, nounOf } from './nouns.js'
import { SplitList } from './split-list.js'

/** Names for each bucket at which their number doubles. */
const LOAD = 2

/** What a thread needs that gives names and takes them away. */
export interface NamesTools {
  readonly heap: Heap
  readonly memblock: Memblock
  readonly lock: LayerLock
  /** Word index of this CPU's NamesCpu. */
  readonly note: number
  /** Frees a block in flight after a grace period. */
  readonly retire: (block: Block) => void
  /** Frees what belongs to an object that has lost its name, but for its block. */
  readonly release: (space: NameSpace, address: number) => void
}

export class NameTables implements Names {
  readonly #memory: Memory
  readonly #map: NamesMap
  readonly #tools: () => NamesTools

  /** `tools`: throws once the CPU is offline. */
  constructor(memory: Memory, map: NamesMap, tools: () => NamesTools) {
    this.#memory = memory
    this.#map = map
    this.#tools = tools
  }

  create(space: NameSpace, name: string, spec: CreateSpec): NamedThing {
    checkSpec(spec)
    const wanted = wantedOf(space, name)
    const made = this.#create(wanted, planOf(wanted, spec), name, spec.init)
    if (made !== undefined) return made
    throw new ObjectExistsError(
      `the ${nounOf(space)} ${shown(name)} exists already: open it, or choose another name`,
      {
        name,
      },
    )
  }

  open(space: NameSpace, name: string, spec: ObjectSpec): NamedThing {
    checkSpec(spec)
    const found = this.#find(wantedOf(space, name))
    if (found === 0) throw missing(space, name)
    return this.#checked(found, space, name, spec)
  }

  openOrCreate(space: NameSpace, name: string, spec: CreateSpec): NamedThing {
    checkSpec(spec)
    const wanted = wantedOf(space, name)
    for (;;) {
      const found = this.#find(wanted)
      if (found !== 0) return this.#checked(found, space, name, spec)
      const made = this.#create(wanted, planOf(wanted, spec), name, spec.init)
      if (made !== undefined) return made
      // Another thread was faster; unless a third one takes it away again, it is there now.
    }
  }

  remove(space: NameSpace, name: string, check?: (address: number) => void): void {
    const wanted = wantedOf(space, name)
    const tools = this.#tools()
    const { lock, note } = tools
    // Once the name is gone, nothing may throw.
    ensureStack(MANY)
    try {
      const entry = lock.locked(this.#map.lock, () => {
        const found = this.#find(wanted)
        if (found === 0) throw missing(space, name)
        check?.(thingOf(this.#memory, found).address)
        const block = blockOf(this.#memory, found)
        this.#note(note, found, block, wanted.space, UNLINKING)
        // In flight first: should the thread die between the two, its reaper makes it persistent
        // again. Mutant: names/unlinked-first.
        adopt(tools, block)
        try {
          this.list(space).unlink(found)
        } catch (error) {
          persist(tools, block)
          throw error
        }
        return found
      })
      this.#free(tools, space, entry)
    } finally {
      // Whatever happens: the block may be anybody's from now on.
      store32(this.#memory.i32, note + NamesCpu.words.entry, 0)
    }
  }

  unlink(space: NameSpace, name: string, address: number, before: () => void): boolean {
    const wanted = wantedOf(space, name)
    ensureStack(SOME)
    return this.#tools().lock.locked(this.#map.lock, () => {
      const found = this.#find(wanted)
      if (found !== entryOf(address)) return false
      before()
      return this.list(space).unlink(found)
    })
  }

  discard(space: NameSpace, address: number): void {
    const tools = this.#tools()
    adopt(tools, blockOf(this.#memory, entryOf(address)))
    this.#free(tools, space, entryOf(address))
  }

  count(space: NameSpace): number {
    return this.list(space).count
  }

  has(space: NameSpace, { address, serial }: NamedThing): boolean {
    const entry = entryOf(address)
    return this.list(space).has(entry) && thingOf(this.#memory, entry).serial === serial
  }

  *each(space: NameSpace, memory: Memory = this.#memory): Generator<ObjectInfo & NamedThing> {
    for (const entry of this.list(space, memory).entries()) yield infoOf(memory, entry)
  }

  nameAt(space: NameSpace, memory: Memory, address: number): string | undefined {
    const entry = entryOf(address)
    if (entry % 1 !== 0 || address < memory.reserved + NameEntry.size) return undefined
    // Whatever lies there: only an entry of the list is one.
    return this.list(space, memory).has(entry) ? infoOf(memory, entry).name : undefined
  }

  /** Byte addresses of all that lies in the heap, or in boot memory, for names. */
  blocks(): ReadonlySet<number> {
    const blocks = new Set<number>()
    for (const space of NAME_SPACES) {
      const list = this.list(space)
      for (const entry of list.entries()) blocks.add(blockOf(this.#memory, entry).address)
      for (const segment of list.segments()) blocks.add(segment * 8)
    }
    return blocks
  }

  /** The list of a space, through whose views. */
  list(space: NameSpace, memory: Memory = this.#memory): SplitList {
    return new SplitList(memory, this.#map.space(NAME_SPACES.indexOf(space)))
  }

  #listOf({ space }: Wanted): SplitList {
    return new SplitList(this.#memory, this.#map.space(space))
  }
  #find(wanted: Wanted): number {
    return this.#listOf(wanted).find(wanted.hash, (entry) => hasName(this.#memory, entry, wanted.name))
  }

  #checked(entry: number, space: NameSpace, name: string, { type, layout }: ObjectSpec): NamedThing {
    const found = infoOf(this.#memory, entry)
    const { address, serial } = found
    if (found.type !== type) {
      throw new ObjectMismatchError(
        `the ${nounOf(space)} ${shown(name)} is of type '${found.type}', not '${type}'`,
        {
          name,
          expected: type,
          found: found.type,
        },
      )
    }
    if (found.layoutHash === layout.hash) return { address, serial }
    throw new ObjectMismatchError(
      `the ${nounOf(space)} ${shown(name)} (${type}) was created with another layout than this thread's ${layout.name}: ` +
        `hash ${found.layoutHash.toString(16)}, expected ${layout.hash.toString(16)}`,
      { name, expected: layout.hash, found: found.layoutHash },
    )
  }

  /** Undefined if the name is given already. */
  #create(
    wanted: Wanted,
    plan: Plan,
    name: string,
    init: ((address: number) => void) | undefined,
  ): NamedThing | undefined {
    if (this.#find(wanted) !== 0) return undefined
    const tools = this.#tools()
    ensureStack(SOME)
    const block = this.#allocate(tools, wanted, plan, name)
    if (block === undefined) return undefined
    const outcome = { isLinked: false }
    let entry: number
    try {
      entry = writeEntry(this.#memory, block.address, wanted, plan)
      init?.(thingOf(this.#memory, entry).address)
      ensureStack(SOME)
      tools.lock.locked(this.#map.lock, () => this.#link(tools, wanted, entry, block, outcome))
    } catch (error) {
      this.#end(tools, block, outcome)
      throw error
    }
    if (!outcome.isLinked) {
      free(tools, block)
      return undefined
    }
    this.#growIfPossible(tools, this.#listOf(wanted))
    return thingOf(this.#memory, entry)
  }

  /** Of a block whose name is not given after all. */
  #end(tools: NamesTools, block: Block, { isLinked }: { readonly isLinked: boolean }): void {
    const clear = (): void => store32(this.#memory.i32, tools.note + NamesCpu.words.entry, 0)
    if (!isLinked) {
      clear()
      free(tools, block)
      return
    }
    try {
      // Others may have found it. Mutant: names/linked-freed-at-once.
      tools.retire(block)
    } finally {
      // Not before. Mutant: names/failed-note-lost.
      clear()
    }
  }

  /** Another thread may have taken the last memory for the very thing: undefined then. */
  #allocate(
    { heap, memblock }: NamesTools,
    wanted: Wanted,
    { bytes, align, isLarge }: Plan,
    label: string,
  ): Block | undefined {
    try {
      const address = isLarge
        ? memblock.alloc({ size: bytes, align, label })
        : heap.alloc(bytes, { align, zero: true })
      return { address, isLarge }
    } catch (error) {
      if (error instanceof OutOfMemoryError && this.#find(wanted) !== 0) return undefined
      throw error
    }
  }

  /** Unless the name came in meanwhile. The lock is held. What throws has taken it out again. */
  #link(
    tools: NamesTools,
    wanted: Wanted,
    entry: number,
    block: Block,
    outcome: { isLinked: boolean },
  ): void {
    if (this.#find(wanted) !== 0) return
    const { i32, u32 } = this.#memory
    const serials = this.#map.serials
    storeU32(u32, entry * 2 + NameEntry.words.serial, load32(i32, serials))
    store32(i32, serials, (load32(i32, serials) + 1) | 0)
    this.#note(tools.note, entry, block, wanted.space, LINKING)
    const list = this.#listOf(wanted)
    try {
      // The link before it is persistent: a reaper makes a block persistent that is linked, and
      // lets one go that is not. Mutant: names/persistent-first.
      list.link(entry, wanted.hash)
      outcome.isLinked = true
      persist(tools, block)
      store32(i32, tools.note + NamesCpu.words.entry, 0)
    } catch (error) {
      // From now on it is taken away, as in remove. Mutant: names/failed-link-forgotten.
      store32(i32, tools.note + NamesCpu.words.state, UNLINKING)
      try {
        adopt(tools, block)
      } finally {
        outcome.isLinked = list.unlink(entry)
      }
      throw error
    }
  }

  #note(note: number, entry: number, { address, isLarge }: Block, space: number, state: number): void {
    const { i32 } = this.#memory
    const { words } = NamesCpu
    store32(i32, note + words.state, state)
    store32(i32, note + words.space, space)
    store32(i32, note + words.block, address / 8)
    store32(i32, note + words.isLarge, isLarge ? 1 : 0)
    // At last: what it says is whole. Mutant: names/note-late.
    store32(i32, note + words.entry, entry)
  }

  /** Its block is in flight, and it has no name. */
  #free(tools: NamesTools, space: NameSpace, entry: number): void {
    tools.release(space, thingOf(this.#memory, entry).address)
    tools.retire(blockOf(this.#memory, entry))
  }

  /** A table that has not grown is slower, and grows with another name. This one is given. */
  #growIfPossible(tools: NamesTools, list: SplitList): void {
    try {
      this.#grow(tools, list)
    } catch (error) {
      if (!(error instanceof LockTimeoutError || error instanceof RangeError)) reportError(error)
    }
  }
  /** Twice the buckets, once the names are twice as many. Does without if memory is short. */
  #grow({ heap, lock }: NamesTools, list: SplitList): void {
    const { buckets } = list
    const wanted = Math.max(FIRST_BUCKETS, buckets * 2)
    if (list.count <= buckets * LOAD || wanted > MAX_BUCKETS) return
    const segment = list.segmentFor(wanted)
    const address = tryAlloc(heap, segment.buckets * NameBucket.stride)
    if (address === 0) return
    let isUsed = false
    try {
      isUsed = lock.locked(this.#map.lock, () => {
        if (list.buckets !== buckets) return false
        const isMissing = load32(this.#memory.i32, segment.word) === 0
        if (isMissing) {
          lock.section((section) => {
            section.write32(segment.word, address / 8)
            heap.persist(address, section)
          })
        }
        list.setBuckets(wanted)
        return isMissing
      })
    } finally {
      if (!isUsed) heap.free(address)
    }
  }
}

function adopt({ heap, memblock }: NamesTools, { address, isLarge }: Block): void {
  if (isLarge) memblock.adopt(address)
  else heap.adopt(address)
}
function persist({ heap, memblock }: NamesTools, { address, isLarge }: Block): void {
  if (isLarge) memblock.persist(address)
  else heap.persist(address)
}
function free({ heap, memblock }: NamesTools, { address, isLarge }: Block): void {
  if (isLarge) memblock.free(address)
  else heap.free(address)
}
function tryAlloc(heap: Heap, bytes: number): number {
  try {
    return heap.alloc(bytes, { zero: true })
  } catch (error) {
    if (error instanceof OutOfMemoryError || error instanceof LockTimeoutError) return 0
    throw error
  }
}
