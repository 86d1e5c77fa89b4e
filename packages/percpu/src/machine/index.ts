export type { JoinOptions } from './boot.js'
export type { Cpus } from './machine.js'
export type { MachineHandle } from './memory-map.js'
export type { CpuInfo, CpuState } from './cpu-table.js'
export type { CallFunction, CallOptions, CallOutcome } from './calls.js'
export type { DoorbellMode } from './doorbell.js'
export type { HotplugCallbacks } from './hotplug.js'
export type { Memblock, MemblockReport, RegionInfo } from './memblock.js'
export type { AllocRequest } from './placement.js'
export type { CreateSpec, Directory, ObjectInfo, ObjectSpec } from './directory.js'
export type { PlacedStruct } from './placed-structs.js'
export type { SupervisedWorker, Supervision } from './supervisor.js'
export * from './errors.js'
export type { CpuInspection, InspectOptions, Inspection, Activity, Dispatch, WorkInfo } from './inspect.js'
export type { DispatchKind } from './dispatch-log.js'
export type { Percentiles } from './histogram.js'
export { findDeadlocks, type AwaitedLock, type Deadlock, type LockState, type OwnedLock } from './locks.js'
export type {
  BlockedEvent,
  DiedEvent,
  Monitor,
  MonitorEvents,
  MonitorOptions,
  RecoveredEvent,
} from './monitor.js'
export type { ListenOptions } from './events.js'
export { POISON_OFFSET, type CpuHandle } from './paca.js'
export { TRACE_ALL, TRACE_DOORBELLS, TRACE_LOCKS, TRACE_PARKS, TRACE_WORK, Vpa } from './vpa-layout.js'
export type { Registration, VpaRegistry } from './vpa-registry.js'
