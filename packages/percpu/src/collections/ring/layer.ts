/**
 * The layer: its rings on one thread, and what is done for a CPU that died while it used one. A
 * machine has notes of rings with the first map, ring or map of ranges: areas.ts.
 */
import { hashNumbers } from '../../arithmetic.js'
import type { LayerContext } from '../../bootmem/layer.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import type { SyncLayer } from '../../sync/layer.js'
import { areas, useNote } from '../areas.js'
import { compareSpec, newCapacity, readRingOptions, writeSpec, type RingOptions } from './options.js'
import { initialiseRing, openRing, ringBytes } from './place.js'
import { RingRoot } from './ring-layout.js'
import { SharedRing, type RingParts } from './ring.js'

const notes = areas.rings
const TYPE = 'SharedRing'
const hash = hashNumbers([RingRoot.hash])

/** A ring that this thread has opened. */
interface Opened extends NamedThing {
  readonly ring: SharedRing<unknown>
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
  ring(name: string, options: RingOptions): SharedRing<unknown> {
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
    const ring = new SharedRing<unknown>(name, place, spec.codec, spec.isFixed, parts)
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
    // Mutant: collections/ring-rescued-left.
    this.recover(recovery)
  }
  /** The end of the ring that it had locked is free: what it was at has happened, or has not. */
  recover(recovery: Recovery): void {
    // Mutant: collections/ring-left-locked.
    notes.release(recovery)
  }

  structs(): readonly PlacedStruct[] {
    const { own, objects } = this.#below.context
    const placed = notes.structs(own, objects, 'rings')
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
    return { own, sync, lock: useNote('rings', own, objects, sync).lock }
  }
}
