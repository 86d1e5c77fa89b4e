export type { JoinOptions } from '../boot.js'
export type { Cpus } from '../machine.js'
export type { MachineHandle } from './memory-map.js'
export type { CpuInfo, CpuState } from '../cpus/cpu-table.js'
export type { CallFunction, CallOptions, CallOutcome } from '../cpus/calls.js'
export type { DoorbellMode } from '../cpus/doorbell.js'
export type { HotplugCallbacks } from '../cpus/hotplug.js'
export type { Memblock, MemblockReport, RegionInfo } from '../bootmem/memblock.js'
export type { AllocRequest } from '../bootmem/placement.js'
export type { CreateSpec, Directory, ObjectInfo, ObjectSpec } from '../bootmem/directory.js'
export type { PlacedStruct } from './placed-structs.js'
export type { SupervisedWorker, Supervision } from '../cpus/supervisor.js'
export * from './errors.js'
export type {
  CpuInspection,
  InspectOptions,
  Inspection,
  Activity,
  Dispatch,
  WorkInfo,
} from '../watch/inspect.js'
export type { DispatchKind } from '../watch/dispatch-log.js'
export type { Percentiles } from '../watch/histogram.js'
export {
  findDeadlocks,
  type AwaitedLock,
  type Deadlock,
  type LockState,
  type OwnedLock,
} from '../watch/deadlocks.js'
export type {
  BlockedEvent,
  DiedEvent,
  Monitor,
  MonitorEvents,
  MonitorOptions,
  RecoveredEvent,
} from '../watch/monitor.js'
export type { ListenOptions } from './events.js'
export type { AbortSignalLike, WaitOptions } from './wait-options.js'
export { POISON_OFFSET, type CpuHandle } from '../watch/cpu-areas.js'
export { TRACE_ALL, TRACE_DOORBELLS, TRACE_LOCKS, TRACE_PARKS, TRACE_WORK, Vpa } from '../watch/vpa-layout.js'
export type { Registration, VpaRegistry } from '../watch/vpa-registry.js'
