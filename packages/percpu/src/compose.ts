/**
 * The whole machine: the CPU layer and everything above it, put together. Only the index imports this file.
 */
import { bootMachine, joinMachine, type JoinOptions, type MachineOptions } from './machine/boot.js'
import type { Layer } from './machine/layer.js'
import type { MachineParts } from './machine/machine.js'
import type { MachineHandle } from './machine/memory-map.js'
import { VpaLayer } from './machine/vpa-layer.js'
import { WatchedMachine } from './machine/watched-machine.js'

export type BootOptions = MachineOptions

/** The layers of one machine object, in the order in which they come up and clean up. */
interface Layers {
  readonly vpa: VpaLayer
  readonly list: readonly Layer[]
}

function makeLayers(): Layers {
  const vpa = new VpaLayer()
  return { vpa, list: [vpa] }
}

/**
 * The calling thread's view of a machine, as one of its CPUs. Made by {@link boot} and {@link join}; not to be passed to other
 * threads (pass `machine.handle`). After `offline` every use throws an OfflineError and writes nothing.
 */
export class Machine extends WatchedMachine {
  /** @internal */
  constructor(parts: MachineParts, layers: Layers) {
    super(parts, layers.vpa, layers.list)
  }
}

/**
 * Makes a machine; the calling thread becomes its CPU 0, online.
 *
 * @throws ArgumentError for options out of range or contradicting each other; UnsupportedError where there is no
 *   SharedArrayBuffer, or not enough address space for one of this size.
 */
export function boot(options: BootOptions = {}): Machine {
  return bootMachine(options, (parts) => new Machine(parts, makeLayers()))
}

/**
 * Makes the calling thread a CPU of the machine behind `handle`: the lowest free number comes online.
 *
 * @throws BadHandleError, VersionMismatchError, TruncatedBufferError, ForeignBufferError, AlreadyJoinedError, NoFreeCpuError.
 */
export function join(handle: MachineHandle, options: JoinOptions = {}): Machine {
  return joinMachine(handle, options, (parts) => new Machine(parts, makeLayers()))
}
