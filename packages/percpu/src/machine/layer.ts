/**
 * How the layers above plug into a machine without the machine importing them. The file that puts everything together
 * (src/compose.ts) makes the layers of each machine object and gives them to `bootMachine` or `joinMachine`.
 *
 *     boot      once, on the booting thread: makes the layer's shared memory, as a named object 'percpu.<layer>'
 *     attach    on every thread that comes online, in state starting
 *     detach    on a CPU that goes offline in an orderly way, after the users' teardowns, in the opposite order
 *     forsake   in its place, if the stay was declared dead by mistake: the number may be another thread's by now
 *     recover   on the thread that reaps a dead CPU, in the order of the layers, before the users' `dead` callbacks
 */
import type { CpuTable } from '../cpus/cpu-table.js'
import type { Doorbell, Ringer } from '../cpus/doorbell.js'
import type { GracePeriods } from '../cpus/grace-period.js'
import type { Idle } from '../cpus/idle.js'
import type { Machine } from '../machine.js'
import type { PlacedStruct } from './placed-structs.js'

/** What a layer is given of the CPU that it is attached to. */
export interface LayerContext {
  /** Its public part: memory, memblock, objects, cpu, node, incarnation. */
  readonly machine: Machine
  /** Ends with the machine object, as everything that goes through its memory. */
  readonly table: CpuTable
  readonly doorbell: Doorbell
  readonly idle: Idle
  readonly gracePeriods: GracePeriods
}

/** What a layer is given to clean up after a CPU; it works on a thread that is no CPU (any more) too. */
export interface Recovery {
  /** On the reaper's own views. */
  readonly table: CpuTable
  readonly ringer: Ringer
  /** The dead CPU; nobody else writes what it owned. */
  readonly cpu: number
  /** Its stay that ended. */
  readonly incarnation: number
}

/** One per machine object. */
export interface Layer {
  /** Named in errors. */
  readonly name: string
  boot?(context: LayerContext): void
  attach?(context: LayerContext): void
  /** Ends within one stretch: after it nothing of the layer may be used. */
  detach?(): void
  /** Lets go of what is the thread's own, and leaves shared memory alone. */
  forsake?(): void
  /**
   * Every step can be repeated: the reaper may die too, and the next one starts again from the first step. What it throws is
   * reported, and cleaning up goes on: whatever could not be put right stays as it is.
   */
  recover?(recovery: Recovery): void
  /** What lies where in the layer's shared memory. */
  structs?(): readonly PlacedStruct[]
}
