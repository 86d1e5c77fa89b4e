/**
 * The layer: its rings on one thread, and what is done for a CPU that died while it used one. A
 * machine without rings has none of its memory: the notes are made with the first ring.
 */
import { hashNumbers } from '../../arithmetic.js'
import type { Directory } from '../../bootmem/directory.js'
import { openBootMemory, type LayerContext } from '../../bootmem/layer.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import { ObjectMissingError } from '../../machine/errors.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import { tokenOf } from '../../machine/token.js'
import { releaseAnnounced } from '../../sync/layer-lock.js'
import type { SyncLayer } from '../../sync/layer.js'
import { compareSpec, newCapacity, readRingOptions, writeSpec, type RingOptions } from './options.js'
import { initialiseRing, openRing, ringBytes } from './place.js'
import { RingNote, RingRoot } from './ring-layout.js'
import { SharedRing, type RingParts } from './ring.js'

const NOTES = 'percpu.rings'
const TYPE = 'SharedRing'
const hash = hashNumbers([RingRoot.hash])

/** A ring that this thread has opened. */
interface Opened extends NamedThing {
  readonly ring: SharedRing<never, unknown>
}

/** The layers that it works with. */
interface RingsBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
}

export class RingLayer implements AttachedLayer {
  readonly name = 'rings'
  readonly #below: RingsBelow
  readonly #rings = new Map<string, Opened>()
  #parts: RingParts | undefined

  constructor(below: RingsBelow) {
    this.#below = below
  }

  /**
   * The ring of this name.
   *
   * @throws as `machine.ring`.
   */
  ring(name: string, options: RingOptions): SharedRing<never, unknown> {
    const { own, names } = this.#below.context
    own.assertOnline()
    const spec = readRingOptions(options)
    const { memory } = own
    const parts = this.#use()
    const capacity = newCapacity(spec)
    const thing = names.openOrCreate('ring', name, {
      type: TYPE,
      layout: { name: TYPE, size: ringBytes(capacity), align: RingRoot.align, hash },
      init: (address) => {
        writeSpec(memory, address / 4, spec)
        initialiseRing(memory, address, capacity)
      },
    })
    compareSpec(memory, thing.address / 4, name, spec)
    const known = this.#rings.get(name)
    if (known?.address === thing.address && known.serial === thing.serial) return known.ring
    const place = openRing(memory, thing.address)
    const ring = new SharedRing<never, unknown>(name, place, spec.codec, spec.isFixed, parts)
    this.#rings.set(name, { ...thing, ring })
    return ring
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#rings.clear()
    this.#parts = undefined
  }

  rescue(recovery: Recovery): void {
    this.recover(recovery)
  }
  /** The end of the ring that it had locked is free: what it was at has happened, or has not. */
  recover({ table, cpu, incarnation }: Recovery): void {
    const { objects } = openBootMemory(table, cpu, incarnation)
    const note = noteOf(objects, table.map.cpus, cpu)
    // Mutant: collections/ring-left-locked.
    if (note !== undefined) releaseAnnounced(table.memory, note, tokenOf(cpu, incarnation))
  }

  structs(): readonly PlacedStruct[] {
    const { own, objects } = this.#below.context
    const placed: PlacedStruct[] = []
    for (let cpu = 0; cpu < own.map.cpus; cpu++) {
      const note = noteOf(objects, own.map.cpus, cpu)
      if (note !== undefined) placed.push({ name: `cpu[${cpu}].rings`, address: note * 4, struct: RingNote })
    }
    for (const [name, { address }] of this.#rings)
      placed.push({ name: `ring[${name}]`, address, struct: RingRoot })
    return placed
  }

  #use(): RingParts {
    return (this.#parts ??= this.#attach())
  }
  #attach(): RingParts {
    const { context, sync } = this.#below
    const { own, objects } = context
    const { table, cpu, incarnation, map } = own
    objects.openOrCreate(NOTES, { type: RingNote.name, layout: notesLayout(map.cpus) })
    const note = noteOf(objects, map.cpus, cpu) ?? 0
    return { own, sync, lock: sync.lockOf(table, cpu, incarnation, note) }
  }
}

function notesLayout(cpus: number): { name: string; size: number; align: number; hash: number } {
  const { name, stride, align } = RingNote
  return { name, size: cpus * stride, align, hash: RingNote.hash }
}
/** Word index of a CPU's note; undefined if nobody has opened a ring. */
function noteOf(objects: Directory, cpus: number, cpu: number): number | undefined {
  try {
    const address = objects.open(NOTES, { type: RingNote.name, layout: notesLayout(cpus) })
    return (address + cpu * RingNote.stride) / 4
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined
    throw error
  }
}
