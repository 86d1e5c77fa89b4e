/**
 * The layer: its maps on one thread, and what is done for a CPU that died in the middle of a
 * change. The notes are made with the first map, ring or map of ranges: areas.ts.
 *
 * Each map has a domain of SRCU, for what is to be freed: it waits for those who hold a version
 * across awaits, and, as all fast domains do, for the stretches of all threads.
 */
import type { Memory } from '#mem'
import { hashNumbers } from '../../arithmetic.js'
import type { AllocLayer } from '../../alloc/layer.js'
import type { LayerContext } from '../../bootmem/layer.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import type { Deadline } from '../../machine/wait-options.js'
import type { PercpuLayer } from '../../percpu/layer.js'
import type { RcuLayer } from '../../rcu/layer.js'
import { domainOf } from '../../rcu/srcu-names.js'
import { listsOf } from '../../rcu/srcu-callbacks.js'
import type { SrcuLayer } from '../../rcu/srcu-layer.js'
import type { SyncLayer } from '../../sync/layer.js'
import { areas, useNote } from '../areas.js'
import { openNamed } from '../opening.js'
import type { Presence } from '../presence.js'
import type { Removable } from '../removal.js'
import type { OwnNote } from '../notes-area.js'
import type { MapValueKind, MapValues } from '../values.js'
import { keyKinds, type KeyKind, type RangeKeyKind, type RangeKeys } from './keys.js'
import { finishNote } from './notes.js'
import { narrow, wide, type Positions } from './positions.js'
import {
  compareRangeOptions,
  rangeOptionsAt,
  readRangeOptions,
  writeRangeOptions,
  type RangeMapOptions,
} from './options.js'
import { RangeBlock, RangeNode, RangeNote, RangeReserve, RangeRoot, RangeVersion } from './range-layout.js'
import { SharedRangeMap, type RangeMapParts } from './range-map.js'
import { RangeWriter } from './writer.js'
import { finderOf } from './search.js'
import { valueKindOf } from './values.js'

const notes = areas.rangeMaps
const TYPE = 'SharedRangeMap'
/** Raised when nodes hold keys, or an index its blocks, in another way: keys.ts, index-words.ts. */
const CONTENTS = 3
const layouts = [RangeRoot, RangeVersion, RangeReserve, RangeNode, RangeBlock]
const hash = hashNumbers([CONTENTS, ...layouts.map((layout) => layout.hash)])
const spec = { type: TYPE, layout: { name: TYPE, size: RangeRoot.size, align: RangeRoot.align, hash } }

/** The layers that it works with. */
interface RangeMapsBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly alloc: AllocLayer
  readonly percpu: PercpuLayer
  readonly srcu: SrcuLayer
  readonly rcu: RcuLayer
  readonly presence: Presence
}

export class RangeMapsLayer implements AttachedLayer, Removable {
  readonly name = 'range maps'
  readonly #below: RangeMapsBelow
  #note: OwnNote | undefined

  constructor(below: RangeMapsBelow) {
    this.#below = below
  }

  /**
   * The map of this name.
   *
   * @throws as `machine.rangeMap`.
   */
  rangeMap<K extends RangeKeyKind, V extends MapValueKind>(
    name: string,
    given: RangeMapOptions<K, V>,
  ): SharedRangeMap<RangeKeys[K], MapValues[V]> {
    return this.open('rangeMap', name, given)
  }
  /** As {@link rangeMap}; `'areas'` are maps of the library's own. */
  open<K extends RangeKeyKind, V extends MapValueKind>(
    kind: 'rangeMap' | 'areas',
    name: string,
    given: RangeMapOptions<K, V>,
  ): SharedRangeMap<RangeKeys[K], MapValues[V]> {
    const { context, presence } = this.#below
    const { own, names } = context
    own.assertOnline()
    const options = readRangeOptions(given)
    const { memory } = own
    // What can be missing comes first.
    this.#useNote()
    presence.attach()
    const init = (address: number): void => writeRangeOptions(memory, address / 4, options)
    const thing = openNamed(memory, names, kind, name, { ...spec, init }, options.create)
    compareRangeOptions(memory, thing.address / 4, name, options)
    const { address } = thing
    return presence.open(kind, name, thing, (views, life) => {
      // Mutant: collections/domain-kept.
      life.letGo = () => this.#letGo(address)
      const found = shapeOf<RangeKeys[K], MapValues[V]>(views, options)
      return new SharedRangeMap({ name, root: address / 4, ...found, own, life, ...this.#use(address) })
    })
  }

  /** The domain of the map at an address, and what this thread writes with. */
  #use(address: number): Pick<RangeMapParts<unknown, unknown>, 'domain' | 'writing'> {
    const { context, alloc, percpu, srcu } = this.#below
    const { own } = context
    const domain = srcu.open(domainOf('rangeMap', address))
    const { callbacks } = domain
    const list = listsOf(percpu.use().state, domain.words.words * 4)[own.cpu] ?? 0
    return { domain, writing: { ...this.#useNote(), heap: alloc.heap, callbacks, list } }
  }

  /** Who removes the map uses its domain to the end. */
  #letGo(address: number): void {
    const { presence, srcu } = this.#below
    if (!presence.removing.has(address)) srcu.letGo(domainOf('rangeMap', address))
  }
  #useNote(): OwnNote {
    const { context, sync } = this.#below
    return (this.#note ??= useNote('rangeMaps', context.own, context.objects, sync))
  }

  find(name: string): NamedThing {
    return this.#below.context.names.open('rangeMap', name, spec)
  }
  async empty(address: number, deadline: Deadline): Promise<void> {
    const { memory, gracePeriods } = this.#below.context.own
    const { domain, writing } = this.#use(address)
    await domain.synchronize(deadline.rest)
    const { shape, finder } = shapeOf<unknown, unknown>(memory, rangeOptionsAt(memory, address / 4))
    new RangeWriter(shape, finder, address / 4, writing).end()
    await domain.barrier(deadline.rest)
    // Others hear that there is nothing left to wait for.
    await gracePeriods.synchronize(deadline)
    await domain.cleanup(deadline.rest)
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#below.presence.abandon()
    this.#note = undefined
  }

  /**
   * The lock of a map is freed. What was to be freed must be known to be queued, or not, before.
   */
  rescue(recovery: Recovery): void {
    if (notes.busyOf(recovery, RangeNote.words.operation) !== undefined) this.#below.rcu.examine(recovery)
    this.examine(recovery)
    // Mutant: collections/range-rescued-left.
    this.recover(recovery)
  }
  /** What the dead CPU has noted happens. */
  examine(recovery: Recovery): void {
    const note = notes.busyOf(recovery, RangeNote.words.operation)
    if (note !== undefined) finishNote(recovery.table.memory, note, this.#below.alloc.tagsOf(recovery))
  }
  /** The map that it had locked is free. */
  recover(recovery: Recovery): void {
    // Mutant: collections/range-left-locked.
    notes.release(recovery)
  }

  structs(): readonly PlacedStruct[] {
    const { context, presence } = this.#below
    const { own, objects } = context
    const placed = notes.structs(own, objects, 'rangeMaps')
    for (const { name, address } of presence.each('rangeMap'))
      placed.push({ name: `rangeMap[${name}]`, address, struct: RangeRoot })
    return placed
  }
}

/** How a map with these options is read through these views. */
function shapeOf<K, V>(
  memory: Memory,
  { key, value }: RangeMapOptions,
): Pick<RangeMapParts<K, V>, 'shape' | 'finder'> {
  const keys = keyKinds[key](memory) as unknown as KeyKind<K>
  const found = key === 'u32' ? narrow : key === 'u128' ? wide : undefined
  const positions = found as unknown as Positions<K> | undefined
  const shape = { memory, keys, values: valueKindOf<V>(value), positions, isNarrow: key === 'u32' }
  return { shape, finder: finderOf(key, memory) }
}
