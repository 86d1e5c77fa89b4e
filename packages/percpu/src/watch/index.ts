export { POISON_OFFSET, type CpuAreas } from './cpu-areas.js'
export { findDeadlocks, type Deadlock } from './deadlocks.js'
export type { DispatchKind } from './dispatch-log.js'
export type { GracePeriodInspection, SectionInspection } from './grace-periods.js'
export type { Percentiles } from './histogram.js'
export type {
  Activity,
  CpuInspection,
  Dispatch,
  GracePeriodWaits,
  InspectOptions,
  Inspection,
  WorkInfo,
} from './inspect.js'
export type { StallEvent, StallingCpu } from './stall-event.js'
export type {
  BlockedEvent,
  DiedEvent,
  Monitor,
  MonitorEvents,
  MonitorOptions,
  RecoveredEvent,
} from './monitor.js'
export { TRACE_ALL, TRACE_DOORBELLS, TRACE_LOCKS, TRACE_PARKS, TRACE_WORK, Vpa } from './vpa-layout.js'
export type { Registration, Registrations as VpaRegistry } from './vpa-registry.js'
export type { Watch } from './watch.js'
