/**
 * The layer: its maps on one thread, and what is done for a CPU that died in the middle of a
 * change. A machine without maps of ranges has none of its memory: the notes are made with the
 * first one.
 *
 * Each map has a domain of SRCU, for what is to be freed: it waits for those who hold a version
 * across awaits, and, as all fast domains do, for the stretches of all threads.
 */
import { load32 } from '#mem'
import { hashNumbers } from '../../arithmetic.js'
import type { AllocLayer } from '../../alloc/layer.js'
import type { Directory } from '../../bootmem/directory.js'
import { openBootMemory, type LayerContext } from '../../bootmem/layer.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import { ObjectMissingError } from '../../machine/errors.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import { tokenOf } from '../../machine/token.js'
import type { PercpuLayer } from '../../percpu/layer.js'
import type { RcuLayer } from '../../rcu/layer.js'
import { listsOf } from '../../rcu/srcu-callbacks.js'
import type { SrcuLayer } from '../../rcu/srcu-layer.js'
import { releaseAnnounced, type LayerLock } from '../../sync/layer-lock.js'
import type { SyncLayer } from '../../sync/layer.js'
import type { MapValueKind, MapValues } from '../values.js'
import { keyKinds, type KeyKind, type RangeKeyKind, type RangeKeys } from './keys.js'
import { finishNote, NONE } from './notes.js'
import { checkRangeOptions, compareRangeOptions, writeRangeOptions, type RangeMapOptions } from './options.js'
import { RangeBlock, RangeNode, RangeNote, RangeRoot, RangeVersion } from './range-layout.js'
import { SharedRangeMap, type RangeMapParts } from './range-map.js'
import { finderOf } from './search.js'
import { valueKindOf } from './values.js'

const NOTES = 'percpu.rangeMaps'
const TYPE = 'SharedRangeMap'
const hash = hashNumbers([RangeRoot, RangeVersion, RangeNode, RangeBlock].map((layout) => layout.hash))

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
  /** Word index of the note of this CPU, and what it locks with. */
  #writing: { readonly note: number; readonly lock: LayerLock } | undefined

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
    options: RangeMapOptions<K, V>,
  ): SharedRangeMap<RangeKeys[K], MapValues[V]> {
    const { own, names } = this.#below.context
    own.assertOnline()
    checkRangeOptions(options)
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
    const { context, alloc, percpu, srcu } = this.#below
    const { own } = context
    const { memory, cpu } = own
    const writing = (this.#writing ??= this.#attach())
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
      writing: { ...writing, heap: alloc.heap, callbacks, list },
    }
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#maps.clear()
    this.#writing = undefined
  }

  /**
   * The lock of a map is freed. What was to be freed must be known to be queued, or not, before.
   */
  rescue(recovery: Recovery): void {
    if (this.#noted(recovery) !== undefined) this.#below.rcu.examine(recovery)
    this.examine(recovery)
    this.recover(recovery)
  }
  /** What the dead CPU has noted happens. */
  examine(recovery: Recovery): void {
    const note = this.#noted(recovery)
    if (note !== undefined) finishNote(recovery.table.memory, note, this.#below.alloc.tagsOf(recovery))
  }
  /** The note of the dead CPU, if it was at anything. */
  #noted({ table, cpu, incarnation }: Recovery): number | undefined {
    const { objects } = openBootMemory(table, cpu, incarnation)
    const note = noteOf(objects, table.map.cpus, cpu)
    if (note === undefined) return undefined
    return load32(table.memory.i32, note + RangeNote.words.operation) === NONE ? undefined : note
  }
  /** The map that it had locked is free. */
  recover({ table, cpu, incarnation }: Recovery): void {
    const { objects } = openBootMemory(table, cpu, incarnation)
    const note = noteOf(objects, table.map.cpus, cpu)
    // Mutant: collections/range-left-locked.
    if (note !== undefined) releaseAnnounced(table.memory, note, tokenOf(cpu, incarnation))
  }

  structs(): readonly PlacedStruct[] {
    const { own, objects } = this.#below.context
    const placed: PlacedStruct[] = []
    for (let cpu = 0; cpu < own.map.cpus; cpu++) {
      const note = noteOf(objects, own.map.cpus, cpu)
      if (note !== undefined)
        placed.push({ name: `cpu[${cpu}].rangeMaps`, address: note * 4, struct: RangeNote })
    }
    for (const [name, { address }] of this.#maps)
      placed.push({ name: `rangeMap[${name}]`, address, struct: RangeRoot })
    return placed
  }

  #attach(): { readonly note: number; readonly lock: LayerLock } {
    const { context, sync } = this.#below
    const { own, objects } = context
    const { table, cpu, incarnation, map } = own
    objects.openOrCreate(NOTES, { type: RangeNote.name, layout: notesLayout(map.cpus) })
    const note = noteOf(objects, map.cpus, cpu) ?? 0
    return { note, lock: sync.lockOf(table, cpu, incarnation, note) }
  }
}

function notesLayout(cpus: number): { name: string; size: number; align: number; hash: number } {
  return { name: RangeNote.name, size: cpus * RangeNote.stride, align: RangeNote.align, hash: RangeNote.hash }
}
/** Word index of a CPU's note; undefined if nobody has opened a map of ranges. */
function noteOf(objects: Directory, cpus: number, cpu: number): number | undefined {
  try {
    const address = objects.open(NOTES, { type: RangeNote.name, layout: notesLayout(cpus) })
    return (address + cpu * RangeNote.stride) / 4
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined
    throw error
  }
}
