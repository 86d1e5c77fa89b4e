/**
 * The layer: spaces on one thread, and what is done when a CPU leaves or dies. The notes and counts
 * are made with the first space of a machine. A machine without an MMU has no such layer.
 */
import { loadAtomic32, loadU32, storeAtomic32, storeU32, type Memory } from '#mem'
import type { AllocLayer } from '../alloc/layer.js'
import { hashNumbers, PAGE_BYTES } from '../arithmetic.js'
import type { ObjectSpec } from '../bootmem/directory.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { NamedThing } from '../bootmem/names.js'
import { NotesArea } from '../collections/notes-area.js'
import { CollectionHead, isRemoving, type Presence } from '../collections/presence.js'
import { pause, type Removable, type Removal } from '../collections/removal.js'
import type { RangeMapsLayer } from '../collections/range/layer.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { checkChoice, checkObject, checkOptions, checkStored } from '../machine/check.js'
import { ObjectMissingError } from '../machine/errors.js'
import { NAME_BYTES, UNIT } from '../machine/limits.js'
import { host, reportError } from '../machine/platform.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { tokenOf } from '../machine/token.js'
import { Deadline } from '../machine/wait-options.js'
import { countBytes } from '../pagetable/frames.js'
import { PagingNote, PagingRoot, SpaceTable } from '../pagetable/layouts.js'
import { missing } from '../names/nouns.js'
import { clearPins } from '../pagetable/pins.js'
import { redo } from '../pagetable/redo-log.js'
import { endUse, SpaceUse } from '../pagetable/use.js'
import { ROOT_LEVEL, SPACE_PAGES } from '../pagetable/entry.js'
import type { SyncLayer } from '../sync/layer.js'
import { SpaceAccess } from './access.js'
import { AREA_READ, AREA_WRITE, Areas, MAX_SPACES } from './areas.js'
import { Changes, endChange } from './changes.js'
import { SpaceCorruptionError, SparseMismatchError } from './errors.js'
import { Holders } from './holders.js'
import { SPACE_KINDS, spaceBytes, SpaceRoot, type SpaceKind, type SpacePlace } from './layouts.js'
import { Pager } from './pager.js'
import { describeSpace, type SpaceReport } from './report.js'
import { AddressSpace } from './space.js'
import { SPARSE_BYTES, SparseArray, type SparseOptions, type SparseParts } from './sparse-array.js'
import { sparseKindOf, sparseKinds, type SparseKind } from './sparse-kinds.js'
import { visible } from '../shown.js'

const notes = new NotesArea('percpu.pages', PagingNote)
const ROOT = 'percpu.paging'
const TYPE = 'SpaceRoot'
const hash = hashNumbers([SpaceRoot.hash, SpaceTable.hash])
const { id: idField, values: valuesField, table: tableField } = SpaceRoot.words
const { root: edge } = SpaceTable.words

/** The layers that it works with. */
interface PagingBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly alloc: AllocLayer
  readonly rangeMaps: RangeMapsLayer
  readonly presence: Presence
  readonly removal: Removal
}
/** What a thread has once it has used a space. */
interface Engine {
  readonly pager: Pager
  readonly changes: Changes
}
/** What a handle is made of. */
interface Opened {
  readonly access: SpaceAccess
  readonly changes: Changes
  readonly drop: (deadline: Deadline) => Promise<void>
}
/** What is made: its name and values, and of which space it is a fork. */
interface Wanted {
  readonly kind: SpaceKind
  readonly name: string
  /** As in SpaceRoot. */
  readonly values: number
}

export class PagingLayer implements AttachedLayer {
  readonly name = 'paging'
  readonly #below: PagingBelow
  #engine: Engine | undefined
  #snapshots = 0

  constructor(below: PagingBelow) {
    this.#below = below
  }

  /** The address space of this name. @throws as `machine.space`. */
  space(name: string): AddressSpace {
    return this.#open(this.#openOrCreate({ kind: 'space', name, values: 0 }), 'space', name)
  }

  /** The sparse array of this name. @throws as `machine.sparseArray`. */
  sparseArray<Kind extends SparseKind>(name: string, options: SparseOptions<Kind>): SparseArray<Kind> {
    const { memory } = this.#below.context.own
    checkOptions('sparseArray', options, { value: true })
    checkObject('options', options)
    checkChoice('value', options.value, Object.keys(sparseKinds))
    const values = sparseKinds[options.value].number
    const thing = this.#openOrCreate({ kind: 'sparseArray', name, values })
    const found = sparseKindOf(loadU32(memory.u32, thing.address / 4 + valuesField))
    if (found !== options.value)
      throw new SparseMismatchError(
        `sparse array ${visible(name)} has values of kind '${found}', not '${options.value}'`,
        { name, expected: options.value, found },
      )
    return this.#openArray<Kind>(thing, 'sparseArray', name)
  }
  #openArray<Kind extends SparseKind>(thing: NamedThing, kind: SpaceKind, name: string): SparseArray<Kind> {
    const { memory } = this.#below.context.own
    const found = sparseKindOf(loadU32(memory.u32, thing.address / 4 + valuesField)) as Kind
    const codec = sparseKinds[found] as unknown as SparseParts<Kind>['codec']
    return this.#openAs(thing, kind, name, ({ access, changes, drop }) => {
      const { pager, place } = access
      const isSnapshot = pager.locked(() => arrayArea(pager, place, kind))
      const snapshot = async (wanted: string | undefined, deadline: Deadline): Promise<SparseArray<Kind>> => {
        const fork = await this.#fork(place, wanted, deadline, true)
        return this.#openArray<Kind>(fork.thing, fork.wanted.kind, fork.wanted.name)
      }
      return new SparseArray<Kind>({ name, kind: found, codec, access, changes, isSnapshot, snapshot, drop })
    })
  }

  /** What all spaces have. @throws as `machine.spaces`. */
  spaces(): readonly SpaceReport[] {
    const { names } = this.#below.context
    const all = [...this.#spaces()].sort(inOrder)
    if (all.length === 0) return []
    const { pager } = this.#use()
    return all.flatMap(({ kind, name, address, serial, ...place }) => {
      const check = (): void => {
        if (!names.has(kind, { address, serial })) throw missing(kind, name)
      }
      const looked = { pager, place: { address, ...place }, check }
      try {
        return [{ kind, name, ...describeSpace(looked) }]
      } catch (error) {
        if (error instanceof ObjectMissingError) return []
        throw error
      }
    })
  }

  /** The space of a kind and name, which is made if need be. */
  #openOrCreate(wanted: Wanted): NamedThing {
    const { own, names } = this.#below.context
    own.assertOnline()
    const { kind, name, values } = wanted
    const { pager } = this.#use()
    return pager.locked(() => {
      const init = (address: number): void => writeRoot(own.memory, address, this.#freeId(pager), values)
      return names.openOrCreate(kind, name, { ...this.#spec(), init })
    })
  }
  /** A number that no space has. Under the lock, which is held until the space has its name. */
  #freeId({ memory, root }: Pager): number {
    const used = new Set<number>()
    for (const { id } of this.#spaces()) used.add(id)
    const word = root + PagingRoot.words.spaces
    let id = loadU32(memory.u32, word)
    do id = id >= MAX_SPACES ? 1 : id + 1
    while (used.has(id))
    storeU32(memory.u32, word, id)
    return id
  }
  /** All spaces, through whose views. */
  *#spaces(memory = this.#below.context.own.memory): Generator<SpacePlace & Wanted & NamedThing> {
    for (const kind of SPACE_KINDS) {
      for (const { name, address, serial } of this.#below.context.names.each(kind, memory)) {
        const values = loadU32(memory.u32, address / 4 + valuesField)
        yield { kind, name, serial, values, ...placeOf(memory, address) }
      }
    }
  }

  /** This thread's handle of what it has found. */
  #open(thing: NamedThing, kind: SpaceKind, name: string): AddressSpace {
    return this.#openAs(thing, kind, name, ({ access, changes, drop }) => {
      const fork = async (wanted: string | undefined, deadline: Deadline): Promise<AddressSpace> => {
        const made = await this.#fork(access.place, wanted, deadline)
        return this.#open(made.thing, made.wanted.kind, made.wanted.name)
      }
      return new AddressSpace({ name, access, changes, fork, drop, verify: () => this.#verify() })
    })
  }
  #openAs<Handle>(thing: NamedThing, kind: SpaceKind, name: string, make: (parts: Opened) => Handle): Handle {
    const { own } = this.#below.context
    const { pager, changes } = this.#use()
    return this.#below.presence.open(kind, name, thing, (memory, life) => {
      const place = placeOf(own.memory, thing.address)
      const use = new SpaceUse(own, place.table)
      pager.enter(use)
      life.letGo = () => pager.leave(use)
      const access = new SpaceAccess({ memory, place, pager, use, life })
      const drop = (deadline: Deadline): Promise<void> =>
        this.#below.removal.remove(kind, name, deadline.rest)
      return make({ access, changes, drop })
    })
  }

  /** A space with the contents of another one, at a moment of the call. */
  async #fork(
    place: SpacePlace,
    name: string | undefined,
    deadline: Deadline,
    isFixed = false,
  ): Promise<{ readonly thing: NamedThing; readonly wanted: Wanted }> {
    const { own, names } = this.#below.context
    const { pager, changes } = this.#use()
    const values = loadU32(own.memory.u32, place.address / 4 + valuesField)
    const wanted: Wanted =
      name === undefined
        ? { kind: 'snapshot', name: this.#snapshotName(), values }
        : { kind: values === 0 ? 'space' : 'sparseArray', name, values }
    // A name that cannot be is refused before anybody waits.
    if (name !== undefined) checkStored('name', name, NAME_BYTES)
    return changes.run(place, deadline, async () => {
      changes.checkPins(place, 0, SPACE_PAGES)
      pager.locked(() => pager.tables.protect(place.table + edge))
      await pager.round(place, deadline)
      // Nobody writes, and nobody can before this change ends. Mutant: paging/fork-unwaited.
      const thing = pager.locked(() => {
        const init = (address: number): void => {
          writeRoot(own.memory, address, this.#freeId(pager), values)
          // atomic: nobody finds it yet. As if it was being removed, until it is whole.
          storeAtomic32(own.memory.i32, address / 4 + CollectionHead.words.removing, pager.token)
        }
        const made = names.create(wanted.kind, wanted.name, { ...this.#spec(), init })
        this.#fill(pager, place, made, wanted, isFixed)
        return made
      })
      return { thing, wanted }
    })
  }
  /** Gives a space that was just made what another one has. */
  #fill(pager: Pager, from: SpacePlace, made: NamedThing, { kind, name }: Wanted, isFixed: boolean): void {
    const { names } = this.#below.context
    const { memory, areas, frames, tables, log } = pager
    const to = placeOf(memory, made.address)
    try {
      // Of a space that had this number once, and whose end was not whole.
      if (areas.first(to.id, 0, SPACE_PAGES) !== undefined) areas.delete(to.id)
      const all = [...areas.each(from.id)]
      const allowed = isFixed ? ~AREA_WRITE : -1
      areas.setAll(
        to.id,
        all.map((area) => ({ ...area, flags: area.flags & allowed })),
      )
    } catch (error) {
      names.remove(kind, name)
      throw error
    }
    const entry = tables.at(from.table + edge)
    if (entry !== 0) {
      frames.share(log, entry)
      log.writeAtomic32(to.table + edge, entry)
      log.commit()
    }
    // atomic: it is whole, and may be opened.
    storeAtomic32(memory.i32, made.address / 4 + CollectionHead.words.removing, 0)
  }
  /** Of a snapshot without a name: it is its thread's. No two are alike. */
  #snapshotName(): string {
    const { cpu, incarnation } = this.#below.context.own
    return `${cpu}.${incarnation}.${++this.#snapshots}`
  }

  /** For `machine.remove`. */
  removable(kind: SpaceKind): Removable {
    return {
      find: (name) => this.#findUnpinned(kind, name),
      empty: (address, deadline) => this.#empty(address, deadline),
    }
  }
  /** It is looked at again once nobody can pin any more. */
  #findUnpinned(kind: SpaceKind, name: string): NamedThing {
    const { own, names } = this.#below.context
    const thing = names.open(kind, name, this.#spec())
    const { changes } = this.#use()
    changes.checkPins(placeOf(own.memory, thing.address), 0, SPACE_PAGES)
    return thing
  }
  async #empty(address: number, deadline: Deadline): Promise<void> {
    const { own } = this.#below.context
    const { pager, changes } = this.#use()
    const place = placeOf(own.memory, address)
    // Deaf CPUs have not heard of it yet.
    while (changes.hasUsers(place)) await pause(own, deadline, () => 'a deaf CPU still uses the space')
    await changes.run(place, deadline, async () => {
      changes.checkPins(place, 0, SPACE_PAGES)
      await changes.unmap(place, 0, SPACE_PAGES, deadline)
      pager.locked(() => pager.areas.delete(place.id))
    })
    await pager.areas.barrier(deadline)
  }

  #use(): Engine {
    return (this.#engine ??= this.#attach())
  }
  #attach(): Engine {
    const { context, sync, alloc, rangeMaps, presence } = this.#below
    const { own, objects, names } = context
    const { map } = own
    presence.attach()
    const pages = Math.floor((map.units * UNIT) / PAGE_BYTES)
    const layout = {
      name: PagingRoot.name,
      size: PagingRoot.stride + countBytes(pages),
      align: PagingRoot.align,
      hash: PagingRoot.hash,
    }
    const address = objects.openOrCreate(ROOT, { type: PagingRoot.name, layout })
    notes.make(own, objects)
    const { lock } = notes.use(own, objects, sync)
    const pager = new Pager({
      own,
      root: address / 4,
      framesOf: pages,
      notes: notes.structs(own, objects, '').map((note) => note.address / 4),
      lock,
      pages: alloc.heap.pages,
      areas: new Areas(rangeMaps.open('areas', 'areas', { key: 'u53', value: 'u32' })),
      patience: () => sync.patience(),
      poisons: alloc.isDebug,
    })
    return { pager, changes: new Changes(pager, names) }
  }

  /** Before this CPU leaves: what its changes have taken out is given up. */
  async settle(): Promise<void> {
    await this.#engine?.changes.settle()
  }
  detach(): void {
    const engine = this.#engine
    this.#engine = undefined
    if (engine === undefined) return
    const { pager } = engine
    pager.leaveAll()
    clearPins(pager.memory, pager.note)
    for (const { table } of this.#spaces()) endChange(pager.memory, table, pager.token)
  }
  abandon(): void {
    this.#engine?.pager.abandon()
    this.#engine = undefined
  }

  rescue(recovery: Recovery): void {
    this.examine(recovery)
    this.#release(recovery)
  }
  /** What the dead CPU had begun to write is written. */
  examine(recovery: Recovery): void {
    const note = notes.of(recovery)
    // Mutant: paging/log-forgotten.
    if (note !== undefined) redo(recovery.table.memory, note)
  }
  recover(recovery: Recovery): void {
    // Also on a thread that has used no space itself. Mutant: paging/left-by-others.
    if (!this.#release(recovery) || !this.#below.context.own.isOnline) return
    const { cpu, incarnation } = recovery
    host.queueMicrotask(() => {
      this.#cleanUp(cpu, incarnation).catch((error: unknown) => {
        if (this.#below.context.own.isOnline) reportError(error)
      })
    })
  }
  /** Its lock, pins and uses are over. Returns whether there is such a CPU's note at all. */
  #release(recovery: Recovery): boolean {
    const note = notes.of(recovery)
    if (note === undefined) return false
    const { table, cpu, incarnation, ringer } = recovery
    const { memory } = table
    notes.release(recovery)
    clearPins(memory, note)
    for (const space of this.#spaces(memory)) {
      endUse(memory, space.table, cpu, ringer)
      endChange(memory, space.table, tokenOf(cpu, incarnation))
    }
    return true
  }
  /** Gives up what a dead CPU had unmapped, and ends what it was making or removing. */
  async #cleanUp(cpu: number, incarnation: number): Promise<void> {
    const { context, removal } = this.#below
    const { own } = context
    const { pager, changes } = this.#use()
    const isDead = (): boolean => own.table.incarnation(cpu) === incarnation
    const gather = pager.gatherOf(pager.notes[cpu] ?? 0)
    if (isDead() && gather.count > 0) await changes.giveUpAll(gather, new Deadline(), isDead)
    const token = tokenOf(cpu, incarnation)
    for (const { kind, name, address } of [...this.#spaces()]) {
      // atomic: as in Removal. What others have begun is theirs.
      const removing = loadAtomic32(own.memory.i32, address / 4 + CollectionHead.words.removing)
      const isOwn = kind === 'snapshot' && name.startsWith(`${cpu}.${incarnation}.`)
      if (removing !== token && !isOwn) continue
      await removal.remove(kind, name).catch((error: unknown) => {
        if (!(error instanceof ObjectMissingError)) throw error
      })
    }
    const { memory } = own
    for (const { kind, ...space } of [...this.#spaces()]) {
      // What is being removed is its remover's: who begins to later on waits for this stretch.
      const isThere = (): boolean => context.names.has(kind, space) && !isRemoving(memory, space.address)
      await changes.settleLeft(space, isThere)
    }
  }

  /** @throws SpaceCorruptionError. */
  #verify(): void {
    const { pager } = this.#use()
    const { map } = this.#below.context.own
    pager.locked(() => {
      const holders = new Holders(pager)
      for (const { table } of this.#spaces()) holders.add(pager.tables.at(table + edge), ROOT_LEVEL)
      for (const note of pager.notes) holders.addList(pager.gatherOf(note))
      holders.compare(Math.floor((map.units * UNIT) / PAGE_BYTES))
      const { faults } = holders
      if (faults.length > 0) throw new SpaceCorruptionError(`page tables: ${faults.join('; ')}`, { faults })
    })
  }

  structs(): readonly PlacedStruct[] {
    const { context } = this.#below
    const placed = notes.structs(context.own, context.objects, 'paging')
    for (const { kind, name, address } of this.#spaces())
      placed.push({ name: `${kind}[${name}]`, address, struct: SpaceRoot })
    return placed
  }

  #spec(): { readonly type: string; readonly layout: ObjectSpec['layout'] } {
    const size = spaceBytes(this.#below.context.own.map.cpus)
    return { type: TYPE, layout: { name: TYPE, size, align: SpaceRoot.align, hash } }
  }
}

/** A sparse array has one area. Its maker may have died before. Returns whether it is read-only. */
function arrayArea({ areas }: Pager, { id }: SpacePlace, kind: SpaceKind): boolean {
  const area = areas.at(id, 0)
  if (area !== undefined) return (area.flags & AREA_WRITE) === 0
  if (kind !== 'sparseArray') return true
  areas.set(id, { from: 0, to: SPARSE_BYTES / PAGE_BYTES, flags: AREA_READ | AREA_WRITE })
  return false
}
/** By kind and name. */
function inOrder(one: Wanted, other: Wanted): number {
  if (one.kind !== other.kind) return SPACE_KINDS.indexOf(one.kind) - SPACE_KINDS.indexOf(other.kind)
  return one.name < other.name ? -1 : 1
}
function placeOf({ u32 }: Memory, address: number): SpacePlace {
  return { address, id: loadU32(u32, address / 4 + idField), table: address / 4 + tableField }
}
function writeRoot({ u32 }: Memory, address: number, id: number, values: number): void {
  storeU32(u32, address / 4 + idField, id)
  storeU32(u32, address / 4 + valuesField, values)
}
