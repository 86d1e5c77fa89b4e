/**
 * The layer: spaces on one thread, and what is done when a CPU leaves or dies. The notes and counts
 * are made with the first space of a machine. A machine without an MMU has no such layer.
 */
import { loadU32 } from '#mem'
import type { AllocLayer } from '../alloc/layer.js'
import { PAGE_BYTES } from '../arithmetic.js'
import type { LayerContext } from '../bootmem/layer.js'
import type { NamedThing } from '../bootmem/names.js'
import { NotesArea } from '../collections/notes-area.js'
import { checkCreate, type OpenOptions } from '../collections/opening.js'
import type { Presence } from '../collections/presence.js'
import { pause, type Removable, type Removal } from '../collections/removal.js'
import type { RangeMapsLayer } from '../collections/range/layer.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import { checkChoice, checkGivenOptions, checkOptions, checkStored } from '../machine/check.js'
import { ObjectMissingError } from '../machine/errors.js'
import { NAME_BYTES, UNIT } from '../machine/limits.js'
import { host, reportError } from '../machine/platform.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { tokenOf } from '../machine/token.js'
import type { Deadline } from '../machine/wait-options.js'
import { countBytes } from '../pagetable/frames.js'
import { PagingNote, PagingRoot, SpaceTable } from '../pagetable/layouts.js'
import { missing } from '../names/nouns.js'
import { clearPins } from '../pagetable/pins.js'
import { redo } from '../pagetable/redo-log.js'
import { endUse, SpaceUse } from '../pagetable/use.js'
import { ROOT_LEVEL, SPACE_PAGES } from '../pagetable/entry.js'
import type { SyncLayer } from '../sync/layer.js'
import { SpaceAccess } from './access.js'
import { AREA_READ, AREA_WRITE, Areas } from './areas.js'
import { Changes, endChange } from './changes.js'
import { SpaceCorruptionError, SparseMismatchError } from './errors.js'
import { forkSpace } from './forking.js'
import { Holders } from './holders.js'
import { SpaceRoot, type SpaceKind, type SpacePlace } from './layouts.js'
import { LeftBehind, snapshotName } from './left-behind.js'
import { Pager } from './pager.js'
import { inOrder, placeOf, SpaceRegistry, type Wanted } from './registry.js'
import { describeSpace, type SpaceReport } from './report.js'
import { AddressSpace } from './space.js'
import { SPARSE_BYTES, SparseArray, type SparseOptions, type SparseParts } from './sparse-array.js'
import { sparseKindOf, sparseKinds, type SparseKind } from './sparse-kinds.js'
import { visible } from '../shown.js'

const notes = new NotesArea('percpu.pages', PagingNote)
const ROOT = 'percpu.paging'
const { values: valuesField } = SpaceRoot.words
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
  readonly leftBehind: LeftBehind
}
/** What a handle is made of. */
interface Opened {
  readonly access: SpaceAccess
  readonly changes: Changes
  readonly drop: (deadline: Deadline) => Promise<void>
}
interface Fork {
  readonly thing: NamedThing
  readonly wanted: Wanted
}

export class PagingLayer implements AttachedLayer {
  readonly name = 'paging'
  readonly #below: PagingBelow
  readonly #registry: SpaceRegistry
  #engine: Engine | undefined
  #snapshots = 0

  constructor(below: PagingBelow) {
    this.#below = below
    this.#registry = new SpaceRegistry(below.context)
  }

  /** The address space of this name. @throws as `machine.space`. */
  space(name: string, options: OpenOptions): AddressSpace {
    checkOptions('space', options, { create: true })
    const { create } = options
    checkCreate(create)
    const wanted = { kind: 'space', name, values: 0 } as const
    return this.#open(this.#registry.openAs(this.#use().pager, wanted, create), 'space', name)
  }

  /** The sparse array of this name. @throws as `machine.sparseArray`. */
  sparseArray<Kind extends SparseKind>(name: string, options: SparseOptions<Kind>): SparseArray<Kind> {
    const { memory } = this.#below.context.own
    checkGivenOptions('sparseArray', options, { value: true, create: true })
    const { value, create } = options
    checkChoice('value', value, Object.keys(sparseKinds))
    checkCreate(create)
    const wanted = { kind: 'sparseArray', name, values: sparseKinds[value].number } as const
    const thing = this.#registry.openAs(this.#use().pager, wanted, create)
    const found = sparseKindOf(loadU32(memory.u32, thing.address / 4 + valuesField))
    if (found !== value)
      throw new SparseMismatchError(
        `sparse array ${visible(name)} has values of kind '${found}', not '${value}'`,
        { name, expected: value, found },
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
    const all = [...this.#registry.each()].sort(inOrder)
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
  ): Promise<Fork> {
    const { own } = this.#below.context
    // A name that cannot be is refused before anybody waits.
    if (name !== undefined) checkStored('name', name, NAME_BYTES)
    const { pager, changes, leftBehind } = this.#use()
    leftBehind.lookLater()
    const values = loadU32(own.memory.u32, place.address / 4 + valuesField)
    const wanted: Wanted =
      name === undefined
        ? { kind: 'snapshot', name: snapshotName(own, ++this.#snapshots), values }
        : { kind: values === 0 ? 'space' : 'sparseArray', name, values }
    const thing = await forkSpace(
      { pager, changes, registry: this.#registry },
      place,
      wanted,
      deadline,
      isFixed,
    )
    return { thing, wanted }
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
    const { own } = this.#below.context
    const thing = this.#registry.open(kind, name)
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
    const changes = new Changes(pager, names)
    const { removal } = this.#below
    const leftBehind = new LeftBehind({ context, removal, registry: this.#registry, pager, changes })
    leftBehind.lookLater()
    return { pager, changes, leftBehind }
  }

  /** Before this CPU leaves: what its changes have taken out is given up, and what is its own. */
  async settle(): Promise<void> {
    await this.#engine?.changes.settle()
    // Mutant: paging/snapshots-kept.
    await this.#engine?.leftBehind.leave()
  }
  detach(): void {
    const engine = this.#engine
    this.#engine = undefined
    if (engine === undefined) return
    const { pager } = engine
    pager.leaveAll()
    clearPins(pager.memory, pager.note)
    for (const { table } of this.#registry.each()) endChange(pager.memory, table, pager.token)
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
      this.#endLeft(cpu, incarnation).catch((error: unknown) => {
        if (this.#below.context.own.isOnline) reportError(error)
      })
    })
  }
  async #endLeft(cpu: number, incarnation: number): Promise<void> {
    await this.#use().leftBehind.end({ cpu, incarnation })
  }
  /** Its lock, pins and uses are over. Returns whether there is such a CPU's note at all. */
  #release(recovery: Recovery): boolean {
    const note = notes.of(recovery)
    if (note === undefined) return false
    const { table, cpu, incarnation, ringer } = recovery
    const { memory } = table
    notes.release(recovery)
    clearPins(memory, note)
    for (const space of this.#registry.each(memory)) {
      endUse(memory, space.table, cpu, ringer)
      endChange(memory, space.table, tokenOf(cpu, incarnation))
    }
    return true
  }
  /** @throws SpaceCorruptionError. */
  #verify(): void {
    const { pager } = this.#use()
    const { map } = this.#below.context.own
    pager.locked(() => {
      const holders = new Holders(pager)
      for (const { table } of this.#registry.each()) holders.add(pager.tables.at(table + edge), ROOT_LEVEL)
      for (const note of pager.notes) holders.addList(pager.gatherOf(note))
      holders.compare(Math.floor((map.units * UNIT) / PAGE_BYTES))
      const { faults } = holders
      if (faults.length > 0) throw new SpaceCorruptionError(`page tables: ${faults.join('; ')}`, { faults })
    })
  }

  structs(): readonly PlacedStruct[] {
    const { context } = this.#below
    const placed = notes.structs(context.own, context.objects, 'paging')
    for (const { kind, name, address } of this.#registry.each())
      placed.push({ name: `${kind}[${name}]`, address, struct: SpaceRoot })
    return placed
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
