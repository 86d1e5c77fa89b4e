/**
 * The layer: its maps on one thread, and what is done for a CPU that died in the middle of a
 * change. The notes are made with the first map, ring or map of ranges: areas.ts.
 *
 * Each map has a domain of SRCU, for what is to be freed: it waits for those who hold a version
 * across awaits, and, as all fast domains do, for the stretches of all threads.
 */
import { hashNumbers } from '../../arithmetic.js'
import type { AllocLayer } from '../../alloc/layer.js'
import type { LayerContext } from '../../bootmem/layer.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import type { PercpuLayer } from '../../percpu/layer.js'
import type { RcuLayer } from '../../rcu/layer.js'
import { listsOf } from '../../rcu/srcu-callbacks.js'
import type { SrcuLayer } from '../../rcu/srcu-layer.js'
import type { SyncLayer } from '../../sync/layer.js'
import { areas, useNote } from '../areas.js'
import type { OwnNote } from '../notes-area.js'
import type { MapValueKind, MapValues } from '../values.js'
import { keyKinds, type KeyKind, type RangeKeyKind, type RangeKeys } from './keys.js'
import { finishNote } from './notes.js'
import { compareRangeOptions, readRangeOptions, writeRangeOptions, type RangeMapOptions } from './options.js'
import { RangeBlock, RangeNode, RangeNote, RangeRoot, RangeVersion } from './range-layout.js'
import { SharedRangeMap, type RangeMapParts } from './range-map.js'
import { finderOf } from './search.js'
import { valueKindOf } from './values.js'

const notes = areas.rangeMaps
const TYPE = 'SharedRangeMap'
/** Raised when nodes hold keys, or an index its blocks, in another way: keys.ts, index-pages.ts. */
const CONTENTS = 2
const layouts = [RangeRoot, RangeVersion, RangeNode, RangeBlock]
const hash = hashNumbers([CONTENTS, ...layouts.map((layout) => layout.hash)])

/** A map that this thread has opened. */
interface Opened extends NamedThing {
  readonly map: unknown
}

/** The layers that it works with. */
interface RangeMapsBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly alloc: AllocLayer
  readonly percpu: PercpuLayer
  readonly srcu: SrcuLayer
  readonly rcu: RcuLayer
}

export class RangeMapsLayer implements AttachedLayer {
  readonly name = 'range maps'
  readonly #below: RangeMapsBelow
  readonly #maps = new Map<string, Opened>()
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
    const { own, names } = this.#below.context
    own.assertOnline()
    const options = readRangeOptions(given)
    const { memory } = own
    const layout = { name: TYPE, size: RangeRoot.size, align: RangeRoot.align, hash }
    const init = (address: number): void => writeRangeOptions(memory, address / 4, options)
    const thing = names.openOrCreate('rangeMap', name, { type: TYPE, layout, init })
    compareRangeOptions(memory, thing.address / 4, name, options)
    const known = this.#maps.get(name)
    if (known?.address === thing.address && known.serial === thing.serial)
      return known.map as SharedRangeMap<RangeKeys[K], MapValues[V]>
    const map = new SharedRangeMap(this.#open(name, thing.address, options))
    this.#maps.set(name, { ...thing, map })
    return map
  }

  #open<K extends RangeKeyKind, V extends MapValueKind>(
    name: string,
    address: number,
    { key, value }: RangeMapOptions<K, V>,
  ): RangeMapParts<RangeKeys[K], MapValues[V]> {
    const { context, sync, alloc, percpu, srcu } = this.#below
    const { own, objects } = context
    const { memory, cpu } = own
    const note = (this.#note ??= useNote('rangeMaps', own, objects, sync))
    const domain = srcu.open(`percpu.rangeMap@${address}`)
    const { callbacks } = domain
    const list = listsOf(percpu.use().state, domain.words.words * 4)[cpu] ?? 0
    const keys = keyKinds[key] as unknown as KeyKind<RangeKeys[K]>
    return {
      name,
      root: address / 4,
      shape: { memory, keys, values: valueKindOf(value), isIndexed: key === 'u32' },
      finder: finderOf(key, memory),
      own,
      domain,
      writing: { ...note, heap: alloc.heap, callbacks, list },
    }
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#maps.clear()
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
    const { own, objects } = this.#below.context
    const placed = notes.structs(own, objects, 'rangeMaps')
    for (const [name, { address }] of this.#maps)
      placed.push({ name: `rangeMap[${name}]`, address, struct: RangeRoot })
    return placed
  }
}
