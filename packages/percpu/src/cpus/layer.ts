/**
 * How layers plug into a machine without the lower ones importing them. Each folder above cpus/ has
 * a `layer.ts`: one function makes the layer's shared memory at boot, another one attaches the
 * calling thread to it and returns an {@link AttachedLayer}. src/compose.ts calls them in order.
 *
 *     attach    on every thread that comes online, in state starting
 *     detach    on a CPU that goes offline in an orderly way, in the opposite order
 *     abandon   in place of detach, if this CPU was declared dead by mistake: the number may be
 *               another thread's by now
 *     rescue    on a thread that waits for a lock of a layer, in the middle of something, whose
 *               owner has ended: locks of layers are freed; the next steps follow later
 *     examine   on the thread that reaps a dead CPU, before any layer changes what that CPU left
 *     recover   on the same thread, in the order of the layers, before the users' `dead` callbacks
 *     release   on the same thread, in the opposite order, after those callbacks
 */
import type { PlacedStruct } from '../machine/placed-struct.js'
import type { CpuTable } from './cpu-table.js'
import type { Ringer } from './ringer.js'

/** What a layer is given to clean up after a CPU. The reaping thread may be no CPU itself. */
export interface Recovery {
  /** On the reaper's own views. */
  readonly table: CpuTable
  readonly ringer: Ringer
  /** The dead CPU; nobody else writes what it owned. */
  readonly cpu: number
  /** Its incarnation that ended. */
  readonly incarnation: number
  /** How users are told of something meanwhile; undefined: at once. See {@link tellUsers}. */
  readonly tell?: (users: () => void) => void
}

/** Calls users' listeners: now, or later if the reaper is in the middle of something of theirs. */
export function tellUsers({ tell }: Recovery, users: () => void): void {
  if (tell) tell(users)
  else users()
}

/**
 * A layer on one thread. The object serves that thread as long as its CPU is online, and goes on to
 * clean up after others when its own CPU has gone offline.
 *
 * Each step of cleaning up can be repeated: the reaper may die too, and the next one starts again
 * from the first step. A step that throws is repeated once: it must not give up a record before the
 * work is done. What it throws then is reported, and cleaning up goes on: whatever could not be put
 * right stays as it is.
 */
export interface AttachedLayer {
  /** Named in errors. */
  readonly name: string
  /** Ends within one stretch: after it nothing of the layer may be used. */
  detach?(): void
  /** Lets go of what is the thread's own, and leaves shared memory alone. */
  abandon?(): void
  rescue?(recovery: Recovery): void
  examine?(recovery: Recovery): void
  recover?(recovery: Recovery): void
  release?(recovery: Recovery): void
  /** Gives back what was made for a CPU that is not possible any more. Can be repeated. */
  giveUp?(cpu: number): void
  /** What lies where in the layer's shared memory. */
  structs?(): readonly PlacedStruct[]
}
