/**
 * The layer: names of what users share, in the heap. A thread opens its tables when it first needs
 * them; finding a name needs nothing but the words.
 */
import { store32 } from '#mem'
import type { AllocLayer } from '../alloc/layer.js'
import { openBootMemory, type LayerContext } from '../bootmem/layer.js'
import type { Names, NameSpace } from '../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../cpus/layer.js'
import type { PlacedStruct } from '../machine/placed-struct.js'
import { LAYER_NAMES } from '../sync/layer-lock.js'
import type { SyncLayer } from '../sync/layer.js'
import { thingOf, type Block } from './entry.js'
import { NamesCpu } from './layouts.js'
import { NameTables, type NamesTools } from './names.js'
import { NamesMap } from './names-map.js'
import { examineNote, isThere, freeUnlinked } from './recovery.js'

/** At boot. */
export function bootNames({ own, objects }: LayerContext): void {
  NamesMap.create(objects, own.map.cpus)
}

/** What the layers above do when a thing has lost its name. */
export interface Freeing {
  /** Frees a block in flight after a grace period. */
  readonly retire: (block: Block) => void
  /** Frees what belongs to an object, but for its block. Cannot fail. */
  readonly release: (space: NameSpace, address: number) => void
}

export class NamesLayer implements AttachedLayer {
  readonly name = 'names'
  readonly names: Names
  readonly #context: LayerContext
  readonly #sync: SyncLayer
  readonly #alloc: AllocLayer
  readonly #map: NamesMap
  #tools: NamesTools | undefined
  #hasLeft = false
  /** Set by a layer above. */
  freeing: Freeing = {
    retire: () => undefined,
    release: () => undefined,
  }

  constructor(context: LayerContext, sync: SyncLayer, alloc: AllocLayer) {
    const { own, objects } = context
    this.#context = context
    this.#sync = sync
    this.#alloc = alloc
    this.#map = NamesMap.open(objects, own.map.cpus)
    const tables = new NameTables(own.memory, this.#map, () => this.#use())
    this.names = tables
    alloc.blocksOfNames = () => tables.blocks()
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#hasLeft = true
    this.#tools = undefined
  }

  /** Before others find what was being named in flight. Mutant: names/rescued-unexamined. */
  rescue(recovery: Recovery): void {
    this.examine(recovery)
  }

  examine(recovery: Recovery): void {
    const { table, cpu, incarnation } = recovery
    const { memblock } = openBootMemory(table, cpu, incarnation)
    examineNote(table.memory, this.#map, cpu, () => this.#alloc.tagsOf(recovery), memblock)
  }

  recover({ table, cpu }: Recovery): void {
    const isPersistent = ({ address, isLarge }: Block): boolean =>
      isLarge || isThere(() => this.#alloc.heap.tags.isPersistent(address))
    freeUnlinked(
      table.memory,
      this.#map,
      cpu,
      (block) => !this.#hasLeft && isPersistent(block),
      (space, entry) => this.names.discard(space, thingOf(table.memory, entry).address),
    )
  }

  structs(): readonly PlacedStruct[] {
    return this.#map.structs()
  }

  #use(): NamesTools {
    const { own, memblock } = this.#context
    if (this.#hasLeft) throw own.offlineError()
    if (this.#tools) return this.#tools
    // Nobody is at anything yet.
    store32(own.memory.i32, this.#map.note(own.cpu) + NamesCpu.words.entry, 0)
    return (this.#tools = {
      heap: this.#alloc.heap,
      memblock,
      lock: this.#sync.layerLock(own.table, own.cpu, own.incarnation, LAYER_NAMES),
      note: this.#map.note(own.cpu),
      retire: (block) => this.freeing.retire(block),
      release: (space, address) => this.freeing.release(space, address),
    })
  }
}
