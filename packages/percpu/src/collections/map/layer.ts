/**
 * The layer: its maps on one thread, and what is done for a CPU that died in the middle of a
 * change. The notes are made with the first map, ring or map of ranges: areas.ts.
 */
import { loadU32, type Memory } from '#mem'
import { hashNumbers } from '../../arithmetic.js'
import type { AllocLayer } from '../../alloc/layer.js'
import type { LayerContext } from '../../bootmem/layer.js'
import type { ObjectSpec } from '../../bootmem/directory.js'
import type { NamedThing, Names } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import { Clock } from '../../machine/clock.js'
import type { Deadline } from '../../machine/wait-options.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import type { RcuLayer } from '../../rcu/layer.js'
import { domainOf } from '../../rcu/srcu-names.js'
import type { Srcu } from '../../rcu/srcu.js'
import type { SrcuLayer } from '../../rcu/srcu-layer.js'
import { RcuMap } from '../../rcu/rcu-map.js'
import type { SyncLayer } from '../../sync/layer.js'
import { areas, useNote } from '../areas.js'
import { openNamed } from '../opening.js'
import type { Presence } from '../presence.js'
import type { Removable } from '../removal.js'
import { emptyMap } from './empty.js'
import { SharedMap } from './map.js'
import { MapBucket, MapCpu, MapEntry, MapLife, MapNote, MapRoot } from './map-layout.js'
import { endNote, finishNote, leftOver } from './notes.js'
import {
  compareOptions,
  compareOwnOptions,
  readMapOptions,
  valuesOf,
  writeOptions,
  type MapOptions,
  type MapSpec,
} from './options.js'
import type { WriterParts } from './parts.js'
import { directoryWords, initialiseTable, mapShape, openTable } from './table.js'

const notes = areas.maps
const announced = MapNote.words
const TYPE = 'SharedMap'
const hash = hashNumbers([MapRoot, MapCpu, MapBucket, MapEntry, MapLife].map((layout) => layout.hash))

/** Whatever its keys and values are. */
type AnyMap = SharedMap<unknown, unknown>

/** The layers that it works with. */
interface MapsBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly alloc: AllocLayer
  readonly rcu: RcuLayer
  readonly srcu: SrcuLayer
  readonly presence: Presence
}

export class MapsLayer implements AttachedLayer, Removable {
  readonly name = 'maps'
  readonly #below: MapsBelow
  #parts: WriterParts | undefined

  constructor(below: MapsBelow) {
    this.#below = below
  }

  /**
   * The map of this name.
   *
   * @throws as `machine.map`.
   */
  map(name: string, given: MapOptions): AnyMap {
    const { context, presence } = this.#below
    const { own, names } = context
    own.assertOnline()
    const options = readMapOptions(given)
    const { memory, map } = own
    const parts = this.#use()
    presence.attach()
    const thing = openMap(memory, names, map.cpus, name, options)
    compareOptions(memory, thing.address / 4, name, options)
    const opened: AnyMap = presence.open('map', name, thing, (views, life) => {
      const { pad } = valuesOf(options.value)
      const table = openTable(views, thing.address, map.cpus, pad, new Clock(memory))
      life.letGo = () => this.#letGo(thing.address)
      const own = { ...this.#partsOf(thing.address, parts, options), own: context.own, life }
      return new SharedMap<unknown, unknown>(name, table, own, options)
    })
    compareOwnOptions(name, opened.ownOptions, options)
    return opened
  }

  /**
   * Who removes the map uses its domain to the end. Mutant:
   * collections/domain-let-go-by-remover.
   */
  #letGo(address: number): void {
    const { presence, srcu } = this.#below
    if (!presence.removing.has(address)) srcu.letGo(domainOf('map', address))
  }

  find(name: string): NamedThing {
    const { own, names } = this.#below.context
    return names.open('map', name, { type: TYPE, layout: layoutOf(own.memory, own.map.cpus) })
  }
  async empty(address: number, deadline: Deadline): Promise<void> {
    const { own } = this.#below.context
    const { memory, map } = own
    const parts = this.#use()
    // Holders read entries, and nothing else.
    const isHeld = loadU32(memory.u32, address / 4 + MapRoot.words.hold) !== 0
    const domain = isHeld ? this.#domainOf(address) : undefined
    await domain?.synchronize(deadline.rest)
    await domain?.barrier(deadline.rest)
    await domain?.cleanup(deadline.rest)
    const table = openTable(memory, address, map.cpus, 0, new Clock(memory))
    // Others may compute for long.
    await emptyMap(table, parts, () => parts.queueing.callbacks.ownBarrier(deadline))
  }

  /** What is replaced in a map whose entries can be held is freed by a domain of its own. */
  #partsOf(address: number, parts: WriterParts, { hold = false }: MapSpec): WriterParts {
    if (!hold) return parts
    const domain = this.#domainOf(address)
    const { queueing } = domain
    // Both of one kind: the reaper looks at that list. Mutant: collections/list-of-another.
    return { ...parts, queueing, list: queueing.callbacks.list, domain }
  }
  #domainOf(address: number): Srcu {
    return this.#below.srcu.open(domainOf('map', address), { flavour: 'fast' })
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#below.presence.abandon()
    this.#parts = undefined
  }

  /**
   * The lock of a bucket is freed. What was to be freed must be known to be queued, or not, before.
   */
  rescue(recovery: Recovery): void {
    if (notes.busyOf(recovery, MapNote.words.operation) !== undefined) this.#below.rcu.examine(recovery)
    this.examine(recovery)
    // Mutant: collections/rescued-left.
    this.recover(recovery)
  }
  /** What the dead CPU has noted happens. */
  examine(recovery: Recovery): void {
    const note = notes.busyOf(recovery, MapNote.words.operation)
    if (note !== undefined) finishNote(recovery.table.memory, note, this.#below.alloc.tagsOf(recovery))
  }
  /** The buckets that it had locked are free. */
  recover(recovery: Recovery): void {
    // Mutants: collections/bucket-left-locked, collections/merge-left-locked.
    notes.release(recovery, [announced.lock, announced.nextLock, announced.childLock])
  }

  structs(): readonly PlacedStruct[] {
    const { context, presence } = this.#below
    const { own, objects } = context
    const placed = notes.structs(own, objects, 'maps')
    for (const { name, address } of presence.each('map')) {
      placed.push({ name: `map[${name}]`, address, struct: MapRoot })
      for (let cpu = 0; cpu < own.map.cpus; cpu++)
        placed.push({
          name: `map[${name}].cpu[${cpu}]`,
          address: address + MapRoot.stride + cpu * MapCpu.stride,
          struct: MapCpu,
        })
    }
    return placed
  }

  #use(): WriterParts {
    return (this.#parts ??= this.#attach())
  }
  #attach(): WriterParts {
    const { context, sync, alloc, rcu } = this.#below
    const { own, objects } = context
    const { memory, cpu, map } = own
    const { note, lock } = useNote('maps', own, objects, sync)
    const queueing = rcu.use()
    const list = RcuMap.open(objects, map.cpus).lists[cpu] ?? 0
    const { heap } = alloc
    const lockOf = (word: number) => sync.lockOf(own.table, cpu, own.incarnation, note + word)
    const nextLock = lockOf(announced.nextLock)
    const childLock = lockOf(announced.childLock)
    const { ringer } = own.doorbell
    const { old, list: its } = leftOver(memory, note)
    if (old !== 0) {
      rcu.freeLeft(its, old)
      endNote(memory, note)
    }
    return { heap, lock, nextLock, childLock, queueing, cpu, ringer, note, list, domain: undefined }
  }
}

/** The map of this name; it is made if need be, unless the options say otherwise. */
function openMap(memory: Memory, names: Names, cpus: number, name: string, options: MapSpec): NamedThing {
  const init = (address: number): void => {
    writeOptions(memory, address / 4, options)
    initialiseTable(memory, address, cpus, directoryWords(memory.byteLength))
  }
  const spec = { type: TYPE, layout: layoutOf(memory, cpus), init }
  return openNamed(memory, names, 'map', name, spec, options.create)
}
function layoutOf({ byteLength }: Memory, cpus: number): ObjectSpec['layout'] {
  return { name: TYPE, size: mapShape(cpus, directoryWords(byteLength)).bytes, align: 64, hash }
}
