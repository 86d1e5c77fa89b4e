/**
 * The layer: its rings on one thread, and what is done for a CPU that died while it used one. A
 * machine has notes of rings with the first map, ring or map of ranges: areas.ts.
 */
import { hashNumbers } from '../../arithmetic.js'
import type { LayerContext } from '../../bootmem/layer.js'
import type { ObjectSpec } from '../../bootmem/directory.js'
import type { NamedThing } from '../../bootmem/names.js'
import type { AttachedLayer, Recovery } from '../../cpus/layer.js'
import type { PlacedStruct } from '../../machine/placed-struct.js'
import type { Deadline } from '../../machine/wait-options.js'
import { visible } from '../../shown.js'
import { ringAll } from '../../sync/cpu-mask.js'
import type { SyncLayer } from '../../sync/layer.js'
import { areas, useNote } from '../areas.js'
import { openNamed } from '../opening.js'
import type { Presence } from '../presence.js'
import { pause, type Removable } from '../removal.js'
import { compareSpec, newCapacity, readRingOptions, writeSpec, type RingOptions } from './options.js'
import { initialiseRing, openRing, ringBytes } from './place.js'
import { RingRoot } from './ring-layout.js'
import { SharedRing, type RingParts } from './ring.js'

const notes = areas.rings
const TYPE = 'SharedRing'
const hash = hashNumbers([RingRoot.hash])

/** The layers that it works with. */
interface RingsBelow {
  readonly context: LayerContext
  readonly sync: SyncLayer
  readonly presence: Presence
}

export class RingLayer implements AttachedLayer, Removable {
  readonly name = 'rings'
  readonly #below: RingsBelow
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
    const { context, presence } = this.#below
    const { own, names } = context
    own.assertOnline()
    const spec = readRingOptions(options)
    const { memory } = own
    const parts = this.#use()
    presence.attach()
    const capacity = newCapacity(spec)
    const init = (address: number): void => {
      writeSpec(memory, address / 4, spec)
      initialiseRing(memory, address, capacity)
    }
    const named = { type: TYPE, layout: layoutOf(capacity), init }
    const thing = openNamed(memory, names, 'ring', name, named, spec.create)
    compareSpec(memory, thing.address / 4, name, spec)
    return presence.open('ring', name, thing, (views, life) => {
      const place = openRing(views, thing.address, name)
      return new SharedRing<unknown>(name, place, spec, { ...parts, life })
    })
  }

  find(name: string): NamedThing {
    return this.#below.context.names.open('ring', name, { type: TYPE, layout: layoutOf(1) })
  }
  /** Those that wait are rung, and have left when it resolves. */
  async empty(address: number, deadline: Deadline, name: string): Promise<void> {
    const { context, sync } = this.#below
    const { memory, doorbell } = context.own
    const { receivers, senders } = openRing(memory, address)
    // Mutant: collections/ring-removed-under-waiters.
    while (sync.isListed([receivers, senders])) {
      ringAll(memory, doorbell.ringer, receivers)
      ringAll(memory, doorbell.ringer, senders)
      const late = (): string => `those who wait for the ring ${visible(name)} have not left in time`
      await pause(context.own, deadline, late)
    }
  }

  detach(): void {
    this.abandon()
  }
  abandon(): void {
    this.#below.presence.abandon()
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
    const { context, presence } = this.#below
    const { own, objects } = context
    const placed = notes.structs(own, objects, 'rings')
    for (const { name, address } of presence.each('ring'))
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

function layoutOf(capacity: number): ObjectSpec['layout'] {
  return { name: TYPE, size: ringBytes(capacity), align: RingRoot.align, hash }
}
